#include "documents.hpp"

#include <sys/utsname.h>

#include <cmath>

namespace znode::agent {
namespace {

double in_gib(std::uint64_t bytes) { return static_cast<double>(bytes) / 1073741824.0; }

}  // namespace

Task<Result<grid::Node>> NodeDocuments::node_document()
{
    grid::Node node;
    utsname machine{};
    ::uname(&machine);
    node.hostname = config_.node.hostname.empty() ? machine.nodename : config_.node.hostname;
    node.farm_id = config_.node.farm_id;
    node.os_version = "znode " ZNODE_VERSION;
    node.location = {
        config_.node.city,
        config_.node.country,
        config_.node.continent,
        config_.node.latitude,
        config_.node.longitude};
    co_return node;
}

Task<Result<std::vector<grid::Interface>>> NodeDocuments::interface_documents()
{
    CO_TRY(auto interfaces, co_await networks_.interfaces());
    std::vector<grid::Interface> documents;
    for (const auto& interface : interfaces) {
        grid::Interface document;
        document.name = interface.name;
        document.addrs = grid::List<grid::IpRange>::none();
        for (const auto& address : interface.addresses)
            if (auto range = grid::IpRange::parse(address.text())) document.addrs.push_back(*range);
        document.gateway = grid::List<grid::Ip>::none();
        for (const auto& gateway : interface.gateways)
            if (auto ip = grid::Ip::parse(gateway.text())) document.gateway.push_back(*ip);
        document.macaddress = {interface.mac};
        documents.push_back(std::move(document));
    }
    source_->set_interfaces(std::move(interfaces));
    co_return documents;
}

Task<Result<std::vector<std::int64_t>>> NodeDocuments::port_documents()
{
    CO_TRY(const auto ports, co_await networks_.reserved_ports());
    co_return std::vector<std::int64_t>{ports.begin(), ports.end()};
}

Task<Result<grid::CapacityReport>> NodeDocuments::capacity_document()
{
    const auto pools = co_await volumes_.pools();
    source_->set_pools(pools);
    grid::CapacityReport report;
    const auto& machine = engine_->machine();
    report.capacity.cru = machine.cpus;
    report.capacity.mru = std::ceil(in_gib(machine.memory));
    for (const auto& pool : pools)
        (pool.media == storage::Media::ssd ? report.capacity.sru : report.capacity.hru) +=
            std::floor(in_gib(pool.total));
    // The machine does not change while we run.
    if (!hardware_) hardware_ = co_await capacity::describe_hardware();
    report.dmi = {hardware_->dmi_json};
    report.disks = {hardware_->disks_json};
    report.hypervisor = grid::List<std::string>::none();
    for (const auto& name : hardware_->hypervisor) report.hypervisor.push_back(name);
    co_return report;
}

grid::UsedReport NodeDocuments::used_document() const
{
    grid::UsedReport used;
    const auto taken = engine_->taken();
    used.resources.cru = taken.cpus;
    used.resources.mru = in_gib(taken.memory);
    used.resources.sru = in_gib(taken.ssd);
    used.resources.hru = in_gib(taken.hdd);
    engine_->each([&used](const engine::Entry& entry) {
        if (entry.state == engine::State::failed) return;
        const auto& type = entry.order.type;
        if (type == "network_resource") ++used.workloads.network_resource;
        if (type == "volume") ++used.workloads.volume;
        if (type == "zdb") ++used.workloads.zdb_namespace;
        if (type == "container") ++used.workloads.container;
    });
    used.workloads.network = used.workloads.network_resource;
    return used;
}

engine::Announcement NodeDocuments::announcement()
{
    engine::Announcement say;
    say.node = [this] { return node_document(); };
    say.interfaces = [this] { return interface_documents(); };
    say.ports = [this] { return port_documents(); };
    say.capacity = [this] { return capacity_document(); };
    say.used = [this] { return used_document(); };
    return say;
}

}  // namespace znode::agent
