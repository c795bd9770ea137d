#pragma once

#include <map>

#include "config.hpp"
#include "engine/engine.hpp"
#include "engine/explorer_link.hpp"
#include "engine/planner.hpp"
#include "logs/folder_watch.hpp"
#include "logs/reader.hpp"
#include "logs/shipper.hpp"
#include "network/networks.hpp"
#include "status/source.hpp"
#include "storage/volumes.hpp"

namespace znode::agent {

/// Everything the status is made of. References outlive the source.
struct SourceParts {
    asio::io_context& loop;
    const Config& config;
    std::string node_id;
    engine::Engine& engine;
    engine::ExplorerLink& link;
    engine::NodePlanner& planner;
    storage::Volumes& volumes;
    network::Networks& networks;
    flist::Flists& flists;
    logs::Shippers& shippers;
    logs::FolderWatch& watch;
    Blocking& disks;
    std::filesystem::path log_dir;
    /// Durable, so that maintenance survives a restart.
    std::function<Task<Result<>>(std::string key, std::string value)> set_fact;
    std::string cgroup_layout;
    /// Workloads with a cgroup: whatever is known of them, something of theirs may run.
    std::function<Result<std::vector<std::string>>()> cgroups;
    /// Why what looks like nobody's must not be touched now; "" when nothing speaks against it.
    std::function<std::string()> gc_obstacle;
};

/// Nothing is known to be nobody's before it is known what is somebody's: the journal tells, and
/// after its loss the explorer does, page by page.
std::string gc_obstacle(bool database_is_new, const engine::LinkState& link, Duration uptime);

/// A thing that needs the operator.
struct Trouble {
    std::string text;
    std::string remedy;
};

/// What the status socket shows of this agent. Lives on the loop.
class AgentSource : public status::Source {
public:
    explicit AgentSource(SourceParts parts);

    v1::Status status() override;
    v1::Health health() override;
    v1::WorkloadList workloads() override;
    std::optional<v1::Workload> workload(std::string gwid) override;
    Task<Result<v1::EventList>> events(std::uint64_t since, std::size_t limit) override;
    Task<> wait_for_event(std::uint64_t since, Duration patience) override;
    Task<Result<v1::Storage>> storage() override;
    Task<Result<v1::Network>> network() override;
    Task<Result<v1::Capacity>> capacity() override;
    Task<Result<v1::FlistList>> flists() override;
    Task<Result<v1::Doctor>> doctor() override;
    Task<Result<std::unique_ptr<status::LogReader>>> logs(status::LogQuery query) override;
    Task<Result<>> restart(std::string gwid) override;
    Task<Result<v1::Maintenance>> maintenance(bool on, std::string reason) override;
    Task<Result<v1::GcReport>> gc(bool dry_run) override;
    std::string metrics() override;

    /// Since the agent was started.
    Duration uptime() const;

    /// One line for `systemctl status`: what a farmer asks first.
    std::string summary();

    /// Facts that others find out and the status shows.
    void set_interfaces(std::vector<network::Interface> interfaces)
    {
        interfaces_ = std::move(interfaces);
    }
    void set_pools(std::vector<storage::PoolInfo> pools) { pools_ = std::move(pools); }
    void set_shortages(std::vector<std::string> shortages) { shortages_ = std::move(shortages); }
    void set_shippers(std::vector<logs::ShipperStatus> shippers)
    {
        shippers_ = std::move(shippers);
    }
    void set_host_network(network::HostNetwork host) { host_ = std::move(host); }
    /// What is wrong with one thing, until it is told that nothing is.
    void set_trouble(const std::string& about, std::optional<Trouble> trouble)
    {
        if (trouble)
            troubles_.insert_or_assign(about, *std::move(trouble));
        else
            troubles_.erase(about);
    }

private:
    v1::Resources total() const;
    v1::Resources promised() const;

    SourceParts parts_;
    std::int64_t started_;
    std::vector<network::Interface> interfaces_;
    std::vector<storage::PoolInfo> pools_;
    std::vector<logs::ShipperStatus> shippers_;
    std::vector<std::string> shortages_;
    std::optional<network::HostNetwork> host_;
    std::map<std::string, Trouble> troubles_;  // By what they are about.
};

}  // namespace znode::agent
