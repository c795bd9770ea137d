// The flist that a container runs from: mounted once for all who use it, by whatever run of the
// agent, and unmounted behind the last.

#include <algorithm>

#include "base/failpoint.hpp"
#include "base/text.hpp"
#include "container_state.hpp"
#include "engine/overlays.hpp"
#include "hub_url.hpp"
#include "kernel/files.hpp"

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

/// Set when a customer's hub was the farmer's own: that it was on this machine or led to it stays
/// right, wherever the farmer's hub is by now.
std::string own_hub_fact(const std::string& gwid) { return "container.own_hub." + gwid; }

Task<Result<bool>> must_be_remote(State state)
{
    auto& node = state->node;
    const auto& url = state->document.hub_url;
    if (url.empty()) co_return false;
    const auto key = own_hub_fact(state->gwid);
    CO_TRY(const auto was_own, co_await node.resources.fact(key));
    if (was_own && !was_own->empty()) co_return false;
    if (is_foreign_hub(url, node.config.hub_url)) co_return true;
    CO_TRY_DO(co_await node.resources.set_fact(key, "1"));
    co_return false;
}

/// Whether a container's root lies over the mount. Facts may be lost, or tell of the mount that a
/// program would get by now and not of the one that it runs from; the kernel knows.
Task<Result<bool>> has_overlay(NodePlanner::Impl* node, std::string key)
{
    const auto& file = node->config.mountinfo;
    CO_TRY(const auto text, co_await node->resources.disks.run([&] {
        return kernel::read_file(file);
    }));
    const auto lowers = overlay_lowers(text);
    co_return std::ranges::any_of(
        lowers, [&](const auto& lower) { return lower.filename() == key; });
}

/// Unmounts what nobody uses, and nobody whose mount is unknown could. False: somebody runs from it
/// all the same. The caller has the turn.
Task<Result<bool>> unmount(NodePlanner::Impl* node, std::string key)
{
    node->leaving_flists.insert(key);
    auto used = co_await has_overlay(node, key);
    Result<> removed;
    if (used && !*used) removed = co_await node->resources.flists.remove(key);
    node->leaving_flists.erase(key);
    CO_TRY_DO(std::move(removed));
    if (!used) co_return used;
    co_return !*used;
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
    // One that cannot be unmounted stays ours, so that the next attempt finds it.
    CO_TRY(const bool gone, co_await unmount(&node, key));
    node.flist_users.erase(key);
    // Swept when who runs from it has ended.
    if (!gone) node.swept = false;
    co_return Result<>{};
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
    CO_TRY(spec.remote_store, co_await must_be_remote(state));
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
    CO_TRY_DO(co_await node.clear_fact(own_hub_fact(state->gwid)));
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

Task<Result<>> NodePlanner::Impl::find_flist_users(std::vector<container::Found> containers)
{
    for (const auto& found : containers) {
        CO_TRY(const auto keys, co_await resources.fact(mount_fact(found.gwid)));
        if (keys && !keys->empty())
            for (const auto key : split(*keys, ' '))
                flist_users[std::string{key}].insert(found.gwid);
        else if (found.running)
            unsure_users.insert(found.gwid);
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
        const auto gone = co_await unmount(this, flist.key);
        swept = swept && gone && *gone;
        if (!gone)
            resources.log->warn(
                "unused flist is still mounted key={} error=\"{}\"",
                flist.key,
                gone.error().message);
    }
    co_return Result<>{};
}

}  // namespace znode::engine
