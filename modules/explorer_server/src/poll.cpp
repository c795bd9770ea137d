#include "explorer_server/poll.hpp"

#include <algorithm>

namespace znode::explorer_server {

PollPage select_page(
    std::int64_t from,
    const std::vector<PollEntry>& scanned,
    const std::vector<PollEntry>& queued,
    std::int64_t counter)
{
    PollPage page{.entries = {}, .last_id = from};
    for (const auto& entry : scanned) {
        // What has one id is told in one go, since the cursor knows ids only.
        if (page.entries.size() >= poll_page && entry.id != page.last_id) break;
        if (entry.id < from || (entry.next_action != grid::NextAction::deploy &&
                                entry.next_action != grid::NextAction::remove))
            continue;
        page.entries.push_back(entry);
        page.last_id = entry.id;
    }
    if (!page.entries.empty()) return page;

    for (const auto& entry : queued) {
        if (page.entries.size() >= poll_page) break;
        page.entries.push_back(entry);
        page.last_id = std::max(page.last_id, entry.id);
    }
    page.from_queue = !page.entries.empty();
    if (!page.from_queue) page.last_id = counter;
    return page;
}

}  // namespace znode::explorer_server
