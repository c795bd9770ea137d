#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "async/blocking.hpp"
#include "async/task_group.hpp"
#include "base/log.hpp"
#include "container/containers.hpp"
#include "engine/plan.hpp"
#include "flist/flists.hpp"
#include "identity/identity.hpp"
#include "logs/shipper.hpp"
#include "network/networks.hpp"
#include "storage/volumes.hpp"
#include "zdb/namespaces.hpp"

namespace znode::engine {

/// What the plans of this node's types are made with. References outlive the planner.
struct Resources {
    asio::io_context& loop;
    Blocking& disks;  ///< The lanes for files that may hold a caller up.
    const identity::Identity& identity;
    storage::Volumes& volumes;
    network::Networks& networks;
    zdb::Namespaces& zdb;
    flist::Flists& flists;
    container::Containers& containers;
    logs::Shippers& shippers;
    /// The customer's key, for secrets. Errc::not_found for an unknown customer, unavailable when
    /// nobody can be asked.
    std::function<Task<Result<identity::PublicKey>>(std::int64_t owner)> user_key;
    /// First id of the customer's user range.
    std::function<Task<Result<std::uint32_t>>(std::int64_t owner)> uid_range;
    /// Small durable choices, by key.
    std::function<Task<Result<std::optional<std::string>>>(std::string key)> fact;
    std::function<Task<Result<>>(std::string key, std::string value)> set_fact;
    Log log;
};

struct PlanConfig {
    std::string node_id;
    std::string hub_url;        ///< Block store of a container that names none.
    std::uint32_t pids = 4096;  ///< Limit of a container.
    container::LogLimits logs;
    std::filesystem::path log_dir;  ///< Segments of each container below it.
    std::filesystem::path zdb_program;
    std::filesystem::path run_dir;
    std::uint16_t zdb_port_base = 9900;
    std::vector<std::string> cgroup_procs;  ///< Files by which helpers enter their cgroup.
    std::optional<uid_t> zdb_uid;           ///< Whom 0-db servers run as; absent: as the agent.
    std::optional<gid_t> zdb_gid;
    bool keep_removed = true;  ///< Data of volumes and 0-dbs whose end nobody signed is set aside.
    /// Where the kernel lists the mounts that this process sees.
    std::filesystem::path mountinfo = "/proc/self/mountinfo";
};

/// Plans for network_resource, volume, zdb and container.
class NodePlanner : public Planner {
public:
    NodePlanner(Resources resources, PlanConfig config);
    ~NodePlanner() override;

    /// Learns what ended while nobody looked, and watches from here on. Before the engine starts.
    Task<Result<>> start();
    Task<> stop();

    Result<std::unique_ptr<Plan>> plan(const Order& order, Standing standing) override;
    void renamed(const std::string& gwid, const std::string& name) override;
    void may_destroy(const std::string& gwid) override;

    /// Removes namespaces of 0-dbs that were kept, frozen, since their end: those that ended at or
    /// before `until` (Unix seconds). How many.
    [[nodiscard]] Task<Result<std::size_t>> forget_namespaces(std::int64_t until);

    /// Sets a volume aside that no plan looks after; the next of that name may lie in any pool.
    [[nodiscard]] Task<Result<>> set_volume_aside(std::string name);

    /// The containers that use a mounted flist, by its key; for the status.
    std::map<std::string, std::vector<std::string>> flist_users() const;

    struct Impl;

private:
    std::unique_ptr<Impl> impl_;
};

/// Id under which a customer's network is known on the node, as a need: "network:<id>".
std::string network_key(std::int64_t owner, std::string_view name);

}  // namespace znode::engine
