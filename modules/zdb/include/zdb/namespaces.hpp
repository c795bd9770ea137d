#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/task.hpp"
#include "base/log.hpp"
#include "base/secret.hpp"
#include "zdb/engine.hpp"

namespace znode::zdb {

/// The 0-db server of one storage pool, as it shall run.
struct ServerSpec {
    std::string pool;               ///< Names it towards `Namespaces`.
    std::filesystem::path data;     ///< Folder below the pool; made when absent.
    std::filesystem::path index;    ///< Another one.
    std::string socket;             ///< Its admin socket; the folder is made when absent (0700).
    std::string log_file;           ///< What it says goes there.
    std::string network_namespace;  ///< Path of a netns, empty for ours.
    std::string address = "::";
    unsigned short port = 9900;
    std::string program = "znode-zdb";
    bool sync = false;
    std::vector<std::string> cgroup_procs;  ///< Files it writes itself into.
    /// Who it runs as; data, index, the folder around the data and that of the socket are given to
    /// this user. Absent: as we are.
    std::optional<uid_t> uid;
    std::optional<gid_t> gid;
};

struct RunningServer {
    pid_t pid = 0;
    unsigned short port = 0;
    bool adopted = false;  ///< It ran already.
};

/// A namespace as it shall be.
struct NamespaceSpec {
    std::string name;
    Mode mode = Mode::user;
    std::uint64_t size = 0;  ///< Bytes.
    Secret password;         ///< At most 63 bytes, not "*".
    bool public_access = false;
    /// Ids go on at least here: for a name whose data was lost with a disk.
    std::uint64_t first_id = 0;
};

struct NamespaceAddress {
    std::string name;
    unsigned short port = 0;
};

struct NamespaceInfo {
    std::string name;
    Mode mode = Mode::user;
    std::uint64_t size = 0;
    std::uint64_t used = 0;
    std::uint64_t entries = 0;
    /// It could not be loaded: what it holds is unknown, and `used` and `entries` say nothing.
    bool failed = false;
};

/// Looks after the 0-db servers of this node and the namespaces in them. Servers outlive the
/// agent: a new one adopts them by their sockets. One that dies is started again at once, ever more
/// rarely when that does not help. Used from the event loop. Every call has a deadline of its own.
class Namespaces {
public:
    virtual ~Namespaces() = default;

    /// Starts the server, or adopts the one that answers at its socket. Repeatable: it is the
    /// repair as well. One that lives but does not answer is killed first. Errc::invalid when the
    /// server refuses its arguments or port, with what it said.
    virtual Task<Result<RunningServer>> ensure_server(ServerSpec spec) = 0;
    /// Ends the server of the pool. Succeeds when none runs.
    virtual Task<Result<>> stop_server(std::string pool) = 0;

    /// Makes the namespace exist as said; nobody reaches it before it has its password, flag and
    /// size. Errc::not_found for a pool without a server; Errc::exists when it is there in another
    /// mode and has been used.
    virtual Task<Result<NamespaceAddress>> ensure(std::string pool, NamespaceSpec spec) = 0;
    /// Removes it with its data. Succeeds for one never seen.
    virtual Task<Result<>> remove(std::string pool, std::string name) = 0;
    /// Nobody reads or writes it any more, and its data stays; `ensure` opens it again.
    virtual Task<Result<>> freeze(std::string pool, std::string name) = 0;
    /// What is there, without `default`.
    virtual Task<Result<std::vector<NamespaceInfo>>> list(std::string pool) = 0;

    /// Ends the watching, not the servers: before the agent stops.
    virtual Task<> stop() = 0;
};

/// The loop must outlive it.
std::unique_ptr<Namespaces> make_namespaces(asio::io_context& loop, Log log);

}  // namespace znode::zdb
