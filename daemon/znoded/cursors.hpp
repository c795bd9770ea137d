#pragma once

#include "async/blocking.hpp"
#include "base/text.hpp"
#include "engine/journal.hpp"
#include "logs/shipper.hpp"

namespace znode::agent {

/// How far the lines of each container were sent, in the journal.
class JournalCursors : public logs::Cursors {
public:
    JournalCursors(engine::Journal& journal, Blocking& store) : journal_{journal}, store_{store} {}

    Task<Result<std::optional<logs::Cursor>>> load(std::string key) override
    {
        CO_TRY(const auto text, co_await store_.run([&] { return journal_.fact(prefix + key); }));
        if (!text) co_return std::nullopt;
        const auto words = split(*text, ' ');
        if (words.size() != 4) co_return std::nullopt;
        const auto number = [&](std::size_t i) {
            return to_number<std::uint64_t>(words[i]).value_or(0);
        };
        co_return logs::Cursor{number(0), number(1), number(2), number(3)};
    }
    Task<Result<>> store(std::string key, logs::Cursor cursor) override
    {
        const auto text = std::to_string(cursor.segment) + ' ' + std::to_string(cursor.offset) +
                          ' ' + std::to_string(cursor.inner) + ' ' + std::to_string(cursor.bytes);
        co_return co_await store_.run([&] { return journal_.set_fact(prefix + key, text); });
    }
    Task<Result<>> forget(std::string key) override
    {
        co_return co_await store_.run([&] { return journal_.forget_facts(prefix + key); });
    }

private:
    static constexpr auto prefix = "log.cursor.";
    engine::Journal& journal_;
    Blocking& store_;
};

}  // namespace znode::agent
