#include "cursors.hpp"

#include "base/text.hpp"
#include "kernel/files.hpp"

namespace znode::agent {
namespace {

constexpr auto prefix = "log.cursor.";

/// "12-1/out/0" as a file's name.
std::string name_of(std::string key)
{
    std::ranges::replace(key, '/', '.');
    return key;
}

}  // namespace

/// None when the runtime folder takes no file: the journal is then all there is.
logs::CursorPage* JournalCursors::page_of(const std::string& key)
{
    if (const auto known = open_.find(key); known != open_.end()) return &known->second;
    if (!kernel::make_folders(pages_, 0700)) return nullptr;
    auto page = logs::CursorPage::open(pages_ / name_of(key));
    if (!page) return nullptr;
    return &open_.emplace(key, *std::move(page)).first->second;
}

Task<Result<std::optional<logs::Noted>>> JournalCursors::load(std::string key)
{
    CO_TRY(const auto text, co_await store_.run([&] { return journal_.fact(prefix + key); }));
    std::optional<logs::Noted> found;
    const auto stored = text.value_or("");
    if (const auto words = split(stored, ' '); words.size() == 4) {
        const auto number = [&](std::size_t i) {
            return to_number<std::uint64_t>(words[i]).value_or(0);
        };
        found = logs::Noted{.cursor = {number(0), number(1), number(2), number(3)}};
    }
    if (const auto* page = page_of(key)) {
        const auto noted = page->read();
        if (noted && (!found || !logs::is_further(found->cursor, noted->cursor))) found = noted;
    }
    co_return found;
}

Task<Result<>> JournalCursors::store(std::string key, logs::Cursor cursor)
{
    const auto text = std::to_string(cursor.segment) + ' ' + std::to_string(cursor.offset) + ' ' +
                      std::to_string(cursor.inner) + ' ' + std::to_string(cursor.bytes);
    co_return co_await store_.run([&] { return journal_.set_fact(prefix + key, text); });
}

void JournalCursors::note(const std::string& key, const logs::Noted& noted)
{
    if (auto* const page = page_of(key)) page->write(noted);
}

Task<Result<>> JournalCursors::forget(std::string key)
{
    std::erase_if(open_, [&](const auto& page) { return page.first.starts_with(key); });
    std::error_code failed;
    for (std::filesystem::directory_iterator at{pages_, failed}, end; !failed && at != end;
         at.increment(failed))
        if (at->path().filename().native().starts_with(name_of(key)))
            (void)kernel::remove_file(at->path());  // tmpfs; what stays ends with the machine.
    co_return co_await store_.run([&] { return journal_.forget_facts(prefix + key); });
}

}  // namespace znode::agent
