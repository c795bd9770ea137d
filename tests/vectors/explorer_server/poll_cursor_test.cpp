#include <gtest/gtest.h>

#include "explorer_server/poll.hpp"
#include "vectors.hpp"

namespace znode::explorer_server {
namespace {

using test::Json;

constexpr auto node = "node1";

PollEntry entry_of(const Json& c, std::int64_t id, int action)
{
    return {
        .id = id,
        .workload_id = c.value("workload_id", std::int64_t{1}),
        .next_action = static_cast<grid::NextAction>(c.value("next_action", action))};
}

/// The node's workloads and old reservations with id ≥ from, ascending.
std::vector<PollEntry> scan(const Json& state, std::int64_t from)
{
    std::vector<PollEntry> found;
    for (const auto& w : state.at("workloads")) {
        test::expect_known_members(w, {"id", "next_action", "node", "workload_id"});
        if (w.at("node") == node) found.push_back(entry_of(w, w.at("id"), 0));
    }
    if (state.contains("workload_range")) {
        const auto& range = state.at("workload_range");
        test::expect_known_members(range, {"first", "last", "next_action", "node"});
        for (auto id = range.at("first").get<std::int64_t>(); id <= range.at("last"); ++id)
            found.push_back(entry_of(range, id, 0));
    }
    if (state.contains("legacy"))
        for (const auto& r : state.at("legacy")) {
            test::expect_known_members(r, {"id", "next_action", "nodes", "workload_ids"});
            const auto nodes = r.at("nodes").get<std::vector<std::string>>();
            if (std::ranges::find(nodes, node) == nodes.end()) continue;
            for (const auto& id : r.at("workload_ids"))
                found.push_back(
                    {.id = r.at("id"),
                     .workload_id = id,
                     .next_action = static_cast<grid::NextAction>(r.at("next_action").get<int>())});
        }
    std::erase_if(found, [&](const PollEntry& entry) { return entry.id < from; });
    std::ranges::sort(
        found, {}, [](const PollEntry& entry) { return std::pair{entry.id, entry.workload_id}; });
    return found;
}

using Ids = std::vector<std::pair<std::int64_t, std::int64_t>>;

void check(const Json& c)
{
    test::expect_known_members(
        c,
        {"expect_body_null",
         "expect_count",
         "expect_first",
         "expect_ids",
         "expect_last",
         "expect_x_last_id",
         "from",
         "name",
         "next_from",
         "note",
         "state"});
    SCOPED_TRACE(c.at("name").get<std::string>());
    const auto& state = c.at("state");
    test::expect_known_members(
        state, {"counter", "legacy", "queue", "workload_range", "workloads"});
    const auto from = c.at("from").get<std::int64_t>();
    std::vector<PollEntry> queued;
    for (const auto& q : state.at("queue")) {
        test::expect_known_members(q, {"id", "next_action", "node", "workload_id"});
        if (q.at("node") == node) queued.push_back(entry_of(q, q.at("id"), 0));
    }

    const auto page = select_page(from, scan(state, from), queued, state.at("counter"));

    EXPECT_EQ(page.entries.empty(), c.at("expect_body_null").get<bool>());
    EXPECT_EQ(page.last_id, c.at("expect_x_last_id").get<std::int64_t>());
    EXPECT_EQ(page.last_id + 1, c.at("next_from").get<std::int64_t>());
    Ids ids;
    for (const auto& entry : page.entries) ids.emplace_back(entry.id, entry.workload_id);
    if (c.contains("expect_count")) {
        ASSERT_EQ(ids.size(), c.at("expect_count").get<std::size_t>());
        EXPECT_EQ(ids.front().first, c.at("expect_first").get<std::int64_t>());
        EXPECT_EQ(ids.back().first, c.at("expect_last").get<std::int64_t>());
        return;
    }
    auto wanted = c.at("expect_ids").get<Ids>();
    // The originals skip workloads below the last old reservation; ours delivers them too (E30).
    std::int64_t last_old = 0;
    if (state.contains("legacy"))
        for (const auto& r : state.at("legacy"))
            last_old = std::max(last_old, r.at("id").get<std::int64_t>());
    for (const auto& entry : scan(state, from)) {
        const bool delivered = entry.next_action == grid::NextAction::deploy ||
                               entry.next_action == grid::NextAction::remove;
        const std::pair both{entry.id, entry.workload_id};
        if (entry.id < last_old && delivered && std::ranges::find(wanted, both) == wanted.end())
            wanted.push_back(both);
    }
    std::ranges::sort(ids);
    std::ranges::sort(wanted);
    EXPECT_EQ(ids, wanted);
}

TEST(PollCursorVectors, EveryScenarioOfTheFile)
{
    const auto file = test::vectors("poll_cursor.json");
    test::expect_known_members(file, {"note", "scenarios"});
    for (const auto& c : file.at("scenarios")) check(c);
    test::report_cases("poll_cursor.json", file.at("scenarios").size());
}

TEST(PollPageTest, AtMostTwoHundredEntries)
{
    std::vector<PollEntry> many;
    for (std::int64_t id = 1; id <= 300; ++id)
        many.push_back({.id = id, .workload_id = 1, .next_action = grid::NextAction::deploy});
    EXPECT_EQ(select_page(0, many, {}, 300).last_id, 200);
    EXPECT_EQ(select_page(0, {}, many, 300).entries.size(), 200U);
}

}  // namespace
}  // namespace znode::explorer_server
