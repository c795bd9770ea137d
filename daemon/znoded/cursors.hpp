#pragma once

#include <map>

#include "async/blocking.hpp"
#include "engine/journal.hpp"
#include "logs/cursor_page.hpp"
#include "logs/shipper.hpp"

namespace znode::agent {

/// How far the lines of each container were sent: in the journal now and then, for a reboot, and in
/// a mapped page in `pages` (of the runtime folder) at once, for a killed agent.
class JournalCursors : public logs::Cursors {
public:
    JournalCursors(engine::Journal& journal, Blocking& store, std::filesystem::path pages)
        : journal_{journal}, store_{store}, pages_{std::move(pages)}
    {
    }

    Task<Result<std::optional<logs::Noted>>> load(std::string key) override;
    Task<Result<>> store(std::string key, logs::Cursor cursor) override;
    void note(const std::string& key, const logs::Noted& noted) override;
    Task<Result<>> forget(std::string key) override;

private:
    logs::CursorPage* page_of(const std::string& key);

    engine::Journal& journal_;
    Blocking& store_;
    std::filesystem::path pages_;
    std::map<std::string, logs::CursorPage, std::less<>> open_;
};

}  // namespace znode::agent
