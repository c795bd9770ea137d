#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/blocking.hpp"
#include "async/task.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"

namespace znode::flist {

/// A flist as an order names it.
struct FlistSpec {
    std::string url;   ///< http:// or https://, where the flist itself is.
    Secret store_url;  ///< Where its blocks are.
    std::uint32_t uid_shift = 0;
    std::optional<std::string> md5 = {};  ///< Lower-case hex; refused when the flist has another.
    /// A stranger has named the store: it is on another machine, whatever its name leads to.
    bool remote_store = false;
};

/// A flist that can be read below `path`.
struct MountedFlist {
    std::string key;  ///< Names the mount in `remove`.
    std::filesystem::path path;
    std::string md5;                                      ///< Of the flist file.
    std::vector<std::string> entry_point = {};            ///< Of the packer; mostly empty.
    std::map<std::string, std::string> environment = {};  ///< Of the packer.
};

/// What `list` says of a mount.
struct FlistStatus {
    std::string key;
    std::filesystem::path path;
    std::string md5;
    std::string url;
    std::string store;  ///< Without password.
    std::uint32_t uid_shift = 0;
    pid_t server = 0;
    bool alive = false;          ///< The mount is there and its server runs.
    std::uint64_t replaced = 0;  ///< How often a dead server was replaced since the agent started.
    std::uint64_t entries = 0;
    std::uint64_t bytes = 0;  ///< Content of its files.
};

struct FlistsConfig {
    std::filesystem::path cache_dir;  ///< Gets `flists/` and `blocks/`.
    std::filesystem::path run_dir;    ///< Gets `flist/<key>` (mounts) and `flist-state/<key>`.
    std::string program = "znode-flist";
    std::vector<std::string> cgroup_procs = {};  ///< Servers enter these cgroups.
    std::uint64_t cache_limit = std::uint64_t{20} << 30U;
    std::uint64_t file_limit = std::uint64_t{256} << 20U;  ///< Of a downloaded flist.
    /// Of all downloaded flists together, those that no mount uses counted too.
    std::uint64_t flists_limit = std::uint64_t{2} << 30U;
    std::string ca_file = {};  ///< Of https; empty: the system's.
};

/// The flists of a node: downloaded once, each served by a process of its own that outlives the
/// agent, one per distinct (flist, store, uid shift).
///
/// Every operation may be repeated. Used from the event loop only. The /dev/fuse descriptor of a
/// mount is held by its server, by the agent and by znode-holder: when the server dies, a new one
/// goes on with it and users notice nothing; when the agent dies, its next run gets the descriptor
/// from the server, when both die, from znode-holder.
class Flists {
public:
    virtual ~Flists() = default;

    /// Takes charge of the mounts that an earlier run left. Those that nobody holds any more are
    /// detached, for nothing can revive them. Before anything else.
    virtual Task<Result<>> recover() = 0;

    /// Makes the flist readable. Errc::not_found: the hub has no such flist. Errc::corrupt: it is
    /// damaged, lies or has another md5; the message says which. Errc::unavailable: the hub does
    /// not answer and the flist was never here before.
    virtual Task<Result<MountedFlist>> ensure(FlistSpec spec) = 0;

    /// Unmounts and ends the server. Succeeds for a key never seen. The caller knows that nobody
    /// uses the tree: an overlay over it does not keep the kernel from unmounting.
    virtual Task<Result<>> remove(std::string key) = 0;

    virtual Task<Result<std::vector<FlistStatus>>> list() = 0;

    /// Bytes that the cache of blocks takes on its disk; looks at each file.
    virtual Task<std::uint64_t> cache_used() = 0;

    /// Ends the watching of servers; mounts and servers stay. Before destruction.
    virtual Task<> stop() = 0;
};

/// `loop` and `lane` must outlive it.
std::unique_ptr<Flists> make_flists(
    asio::io_context& loop, Blocking& lane, FlistsConfig config, Log log);

}  // namespace znode::flist
