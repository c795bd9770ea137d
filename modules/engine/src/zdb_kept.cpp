// 0-db namespaces whose end nobody signed.

#include <algorithm>

#include "base/failpoint.hpp"
#include "base/text.hpp"
#include "engine/journal.hpp"
#include "storage/kept_clock.hpp"
#include "zdb_state.hpp"

namespace znode::engine {
namespace {

constexpr auto kept_fact = "zdb.kept";

Task<Result<>> write_kept(NodePlanner::Impl* node, std::vector<KeptNamespace> all)
{
    std::string text;
    for (const auto& each : all)
        text += each.gwid + '\t' + each.pool + '\t' + std::to_string(each.bytes) + '\t' +
                std::to_string(each.since) + '\n';
    co_return co_await node->resources.set_fact(kept_fact, text);
}

/// The caller has the turn.
Task<Result<>> forget_namespace(NodePlanner::Impl* node, KeptNamespace gone)
{
    auto state = std::make_shared<ZdbState>(*node, gone.gwid);
    state->pool = gone.pool;
    CO_TRY(const bool serves, co_await find_server(state));
    if (serves) CO_TRY_DO(co_await node->resources.zdb.remove(state->pool, state->gwid));
    CO_FP("engine.zdb.forget");
    CO_TRY(auto kept, co_await read_kept(node));
    std::erase_if(kept, [&](const KeptNamespace& each) {
        return each.gwid == gone.gwid && each.pool == gone.pool;
    });
    CO_TRY_DO(co_await write_kept(node, std::move(kept)));
    co_return co_await end_unused_server(state);
}

}  // namespace

/// A line for each: gwid, pool, bytes, since; separated by tabs.
Task<Result<std::vector<KeptNamespace>>> read_kept(NodePlanner::Impl* node)
{
    std::vector<KeptNamespace> all;
    CO_TRY(const auto text, co_await node->resources.fact(kept_fact));
    if (!text) co_return all;
    for (const auto line : split(*text, '\n')) {
        const auto fields = split(line, '\t');
        if (fields.size() != 4) continue;
        all.push_back(
            {std::string{fields[0]},
             std::string{fields[1]},
             to_number<std::uint64_t>(fields[2]).value_or(0),
             to_number<std::int64_t>(fields[3]).value_or(0)});
    }
    co_return all;
}

Task<Result<bool>> set_aside(std::shared_ptr<ZdbState> state)
{
    auto& node = state->node;
    CO_TRY(auto kept, co_await read_kept(&node));
    if (std::ranges::find(kept, state->gwid, &KeptNamespace::gwid) != kept.end()) co_return true;
    CO_TRY(const auto there, co_await node.resources.zdb.list(state->pool));
    const auto mine = std::ranges::find(there, state->gwid, &zdb::NamespaceInfo::name);
    // What cannot be read counts no entries, and is not empty.
    if (mine == there.end() || (mine->entries == 0 && !mine->failed)) co_return false;
    CO_TRY_DO(co_await node.resources.zdb.freeze(state->pool, state->gwid));
    CO_FP("engine.zdb.set_aside");
    kept.push_back({state->gwid, state->pool, state->bytes(), now_ns() / 1'000'000'000});
    CO_TRY_DO(co_await write_kept(&node, std::move(kept)));
    node.resources.log->warn("0-db namespace {} is frozen and kept", state->gwid);
    co_return true;
}

Task<Result<std::size_t>> NodePlanner::Impl::forget_namespaces(std::int64_t until)
{
    std::size_t gone = 0;
    const auto is_over = [until](const KeptNamespace& each) { return each.since <= until; };
    // Stamps of a clock that had lost the time: theirs begins now. One that is ahead stays, for the
    // clock of now may be behind: it costs room, and the other way would cost data.
    const auto now = now_ns() / 1'000'000'000;
    const auto is_wrong = [now](const KeptNamespace& each) {
        return now >= storage::first_plausible && each.since < storage::first_plausible;
    };
    // Mostly there is nothing to do, and whoever has the turn may be starting a server.
    CO_TRY(const auto glance, co_await read_kept(this));
    if (std::ranges::none_of(glance, is_over) && std::ranges::none_of(glance, is_wrong))
        co_return gone;
    const auto guard = co_await zdb_turn.lock();
    CO_TRY(auto kept, co_await read_kept(this));
    if (std::ranges::any_of(kept, is_wrong)) {
        for (auto& each : kept)
            if (is_wrong(each)) each.since = now;
        CO_TRY_DO(co_await write_kept(this, kept));
    }
    Result<> outcome;
    std::vector<KeptNamespace> over;
    std::ranges::copy_if(kept, std::back_inserter(over), is_over);
    for (const auto& each : over) {
        auto removed = co_await forget_namespace(this, each);
        if (!removed) {
            // Its pool may be away; the others' are not.
            if (outcome) outcome = std::move(removed);
            continue;
        }
        ++gone;
    }
    CO_TRY_DO(std::move(outcome));
    co_return gone;
}

}  // namespace znode::engine
