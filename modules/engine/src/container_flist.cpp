// The flist that a container runs from: mounted once for all who use it, by whatever run of the
// agent, and unmounted behind the last.

#include "base/failpoint.hpp"
#include "base/text.hpp"
#include "container_state.hpp"
#include "hub_url.hpp"

namespace znode::engine {
namespace {

using State = std::shared_ptr<ContainerState>;

std::string url_text(const std::string& url) { return without_password(printable(url, 200)); }

/// Keys of the mounts that a container may run from, with spaces between: known before its program
/// starts, forgotten after they were let go. Mostly one; a program goes on with the mount that it
/// was started on, though the farmer's hub, and with it the key, is another one by now.
std::string mount_fact(const std::string& gwid) { return "container.mount." + gwid; }

Task<Result<>> note_mount(State state, std::string key)
{
    auto& resources = state->node.resources;
    const auto name = mount_fact(state->gwid);
    CO_TRY(const auto noted, co_await resources.fact(name));
    auto keys = noted.value_or("");
    for (const auto known : split(keys, ' '))
        if (known == key) co_return Result<>{};
    if (!keys.empty()) keys += ' ';
    co_return co_await resources.set_fact(name, keys + key);
}

/// Counts who is about to get a mount that nobody is known to use. Whoever ends without it may
/// leave it behind.
class Mounting {
public:
    explicit Mounting(NodePlanner::Impl& node) : node_{node} { ++node_.mounting; }
    ~Mounting()
    {
        --node_.mounting;
        if (!done) node_.swept = false;
    }
    Mounting(const Mounting&) = delete;
    Mounting& operator=(const Mounting&) = delete;

    bool done = false;

private:
    NodePlanner::Impl& node_;
};

/// The mounted flist, with this container among its users.
Task<Result<flist::MountedFlist>> use_flist(State state, flist::FlistSpec spec)
{
    auto& node = state->node;
    Mounting mounting{node};
    for (;;) {
        auto mounted = co_await node.resources.flists.ensure(spec);
        if (!mounted) co_return mounted;
        if (!node.leaving_flists.contains(mounted->key)) {
            // At once: whoever lets go of it next must see that it is used.
            node.flist_users[mounted->key].insert(state->gwid);
            CO_TRY_DO(co_await note_mount(state, mounted->key));
            node.unsure_users.erase(state->gwid);
            mounting.done = true;
            co_return mounted;
        }
        // Its last user before us is unmounting it: what we were given is about to vanish.
        const auto turn = co_await node.flist_turn.lock();
    }
}

/// Nobody uses it, and nobody whose mount is unknown could. The caller has the turn.
Task<Result<>> unmount(NodePlanner::Impl* node, std::string key)
{
    node->leaving_flists.insert(key);
    auto removed = co_await node->resources.flists.remove(key);
    node->leaving_flists.erase(key);
    co_return removed;
}

/// Unmounts it, unless somebody else has begun to use it.
Task<Result<>> leave_flist(State state, std::string key)
{
    auto& node = state->node;
    const auto turn = co_await node.flist_turn.lock();
    const auto user = node.flist_users.find(key);
    if (user == node.flist_users.end() || !user->second.contains(state->gwid)) co_return Result<>{};
    if (user->second.size() > 1) {
        user->second.erase(state->gwid);
        co_return Result<>{};
    }
    if (!node.unsure_users.empty()) {
        // One of them may run from it: it is swept when they all have said.
        node.flist_users.erase(key);
        node.swept = false;
        co_return Result<>{};
    }
    auto removed = co_await unmount(&node, key);
    // One that is still there stays ours, so that the next attempt finds it.
    if (removed) node.flist_users.erase(key);
    co_return removed;
}

}  // namespace

Task<Result<>> mount_flist(State state)
{
    CO_FP("engine.container.flist");
    flist::FlistSpec spec;
    spec.url = state->document.flist;
    spec.store_url = Secret{
        state->document.hub_url.empty() ? state->node.config.hub_url : state->document.hub_url};
    spec.uid_shift = state->first_uid;
    spec.remote_store = is_foreign_hub(state->document.hub_url, state->node.config.hub_url);
    if (spec.store_url.empty())
        co_return fail(
            Errc::invalid,
            "member hub_url is empty and the node has no default; name a block store");
    // What it once ran from is what it runs from: no hub is asked, nor changes a running program.
    auto& resources = state->node.resources;
    const auto key = "container.flist." + state->gwid;
    CO_TRY(const auto known, co_await resources.fact(key));
    if (known && !known->empty()) spec.md5 = *known;
    auto mounted = co_await use_flist(state, spec);
    if (!mounted && spec.md5 && mounted.error().code == Errc::corrupt) {
        // The node lost its copy, and the hub has another one by now.
        spec.md5.reset();
        mounted = co_await use_flist(state, spec);
    }
    if (!mounted)
        co_return tl::unexpected(
            std::move(mounted).error().during("flist " + url_text(state->document.flist)));
    state->flist = *std::move(mounted);
    if (known != state->flist.md5) CO_TRY_DO(co_await resources.set_fact(key, state->flist.md5));
    co_return Result<>{};
}

Task<Result<>> release_flist(State state)
{
    CO_FP("engine.container.unflist");
    auto& node = state->node;
    CO_TRY_DO(co_await node.clear_fact("container.flist." + state->gwid));
    // An agent before this one may have mounted it.
    CO_TRY(const auto noted, co_await node.resources.fact(mount_fact(state->gwid)));
    if (noted && !noted->empty())
        for (const auto key : split(*noted, ' '))
            node.flist_users[std::string{key}].insert(state->gwid);
    node.unsure_users.erase(state->gwid);
    std::vector<std::string> mine;
    for (const auto& [key, gwids] : node.flist_users)
        if (gwids.contains(state->gwid)) mine.push_back(key);
    Result<> outcome;
    for (const auto& key : mine) {
        auto left = co_await leave_flist(state, key);
        if (!left && outcome) outcome = std::move(left);
    }
    CO_TRY_DO(std::move(outcome));
    CO_FP("engine.container.unflisted");
    CO_TRY_DO(co_await node.clear_fact(mount_fact(state->gwid)));
    co_return co_await node.sweep_flists();
}

Task<Result<>> NodePlanner::Impl::find_flist_users(std::vector<std::string> containers)
{
    for (const auto& gwid : containers) {
        CO_TRY(const auto keys, co_await resources.fact(mount_fact(gwid)));
        if (!keys || keys->empty()) {
            unsure_users.insert(gwid);
            continue;
        }
        for (const auto key : split(*keys, ' ')) flist_users[std::string{key}].insert(gwid);
    }
    co_return co_await sweep_flists();
}

Task<Result<>> NodePlanner::Impl::sweep_flists()
{
    if (swept || !unsure_users.empty() || mounting > 0) co_return Result<>{};
    const auto turn = co_await flist_turn.lock();
    swept = true;
    CO_TRY(const auto mounted, co_await resources.flists.list());
    for (const auto& flist : mounted) {
        // Asked anew for each: others go on meanwhile.
        if (mounting > 0) {
            swept = false;
            break;
        }
        if (flist_users.contains(flist.key)) continue;
        const auto removed = co_await unmount(this, flist.key);
        swept = swept && removed;
        if (!removed)
            resources.log->warn(
                "unused flist is still mounted key={} error=\"{}\"",
                flist.key,
                removed.error().message);
    }
    co_return Result<>{};
}

}  // namespace znode::engine
