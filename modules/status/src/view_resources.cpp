#include "base/text.hpp"
#include "status/time.hpp"
#include "status/view.hpp"
#include "view_parts.hpp"

namespace znode::status {

namespace {

std::string heading(std::string_view name, const Look& look)
{
    return '\n' + paint(name, Ink::bold, look.color) + '\n';
}

template <class List>
std::string foreign_text(const List& foreign, const Look& look)
{
    std::string text;
    if (!foreign.empty()) text += heading("foreign, left alone", look);
    for (const auto& each : foreign) text += "  " + clip(shown(each), look.width - 2) + '\n';
    return text;
}

}  // namespace

std::string to_text(const v1::Storage& storage, const Look& look)
{
    Table pools{{"pool", "kind", "media", ">size", ">promised", ">on disk", ">free", "path"}};
    for (const auto& pool : storage.pools())
        pools.row(
            {shown(pool.name()),
             shown(pool.kind()),
             shown(pool.media()),
             size_text(pool.size()),
             size_text(pool.promised()),
             size_text(pool.used()),
             size_text(pool.free()),
             shown(pool.path())});
    std::string text = pools.empty() ? "no pools\n" : pools.text(look.width, look.color);
    for (const auto& pool : storage.pools())
        if (!pool.accepting())
            text += "  " + paint("!", Ink::warn, look.color) + " " + shown(pool.name()) +
                    " takes nothing new: " + shown(pool.message()) + '\n';

    if (!storage.volumes().empty()) text += heading("volumes", look);
    Table volumes{{"name", "for", "workload", ">size", ">used", "pool"}};
    for (const auto& volume : storage.volumes())
        volumes.row(
            {shown(volume.name()),
             volume.kept_until().empty() ? shown(volume.purpose())
                                         : "kept until " + clock(volume.kept_until(), look),
             shown(volume.workload()),
             size_text(volume.size()),
             size_text(volume.used()),
             shown(volume.pool())});
    if (!volumes.empty()) text += volumes.text(look.width, look.color, 2);
    return text + foreign_text(storage.foreign(), look);
}

std::string to_text(const v1::Network& network, const Look& look)
{
    std::string text;
    text += field("uplink", shown(network.uplink()), look);
    text += field("gateways", joined(network.gateways(), ", "), look);
    text +=
        field("wireguard", network.wireguard().empty() ? "none" : shown(network.wireguard()), look);

    Table interfaces{{"interface", "state", "for", "addresses"}};
    for (const auto& each : network.interfaces())
        interfaces.row(
            {shown(each.name()),
             each.up() ? "up" : paint("down", Ink::warn, look.color),
             shown(each.purpose()),
             joined(each.addresses(), " ")});
    if (!interfaces.empty()) text += '\n' + interfaces.text(look.width, look.color);

    for (const auto& resource : network.resources()) {
        text += heading(shown(resource.name()) + "  (" + shown(resource.workload()) + ")", look);
        text += "  " +
                clip(
                    shown(resource.subnet()) + " of " + shown(resource.range()) + ", port " +
                        std::to_string(resource.listen_port()) + ", namespace " +
                        shown(resource.namespace_()),
                    look.width - 2) +
                '\n';
        for (const auto& member : resource.members())
            text += "  " + clip("member " + shown(member), look.width - 2) + '\n';
        Table peers{{"peer", "endpoint", ">handshake", ">received", ">sent"}};
        for (const auto& peer : resource.peers()) {
            const auto ago = age(peer.last_handshake(), look);
            peers.row(
                {shown(peer.subnet()),
                 peer.endpoint().empty() ? "(comes to us)" : shown(peer.endpoint()),
                 ago.empty() ? paint("never", Ink::warn, look.color) : ago + " ago",
                 size_text(peer.received()),
                 size_text(peer.sent())});
        }
        if (!peers.empty()) text += peers.text(look.width, look.color, 2);
    }

    if (!network.ports().empty()) text += heading("forwarded ports", look);
    for (const auto& port : network.ports())
        text += "  " +
                clip(
                    shown(port.protocol()) + " " + std::to_string(port.port()) + " → " +
                        shown(port.to()) + "  " + shown(port.purpose()),
                    look.width - 2) +
                '\n';
    if (!network.host_changes().empty()) text += heading("changed on this host", look);
    for (const auto& change : network.host_changes())
        text += "  " + clip(shown(change), look.width - 2) + '\n';
    return text + foreign_text(network.foreign(), look);
}

std::string to_text(const v1::Capacity& capacity, const Look& look)
{
    std::string text;
    if (!capacity.cpu_model().empty())
        text += field(
            "processor",
            shown(capacity.cpu_model()) + ", " + std::to_string(capacity.cores()) + " cores",
            look);
    if (!capacity.board().empty()) text += field("board", shown(capacity.board()), look);
    text += field(
        "hypervisor",
        capacity.hypervisor().empty() ? "none: bare metal" : shown(capacity.hypervisor()),
        look);
    text += heading("promised to workloads", look);
    text += resources_text(capacity.total(), capacity.promised(), look, 2);
    text += heading("in use now", look);
    text += resources_text(capacity.total(), capacity.used(), look, 2);
    if (!capacity.disks().empty()) text += heading("disks", look);
    Table disks{{"device", "media", ">size", "use", "health", "model"}};
    for (const auto& disk : capacity.disks())
        disks.row(
            {shown(disk.device()),
             shown(disk.media()),
             size_text(disk.size()),
             shown(disk.use()),
             disk.health().empty() || disk.health() == "ok"
                 ? shown(disk.health())
                 : paint(shown(disk.health()), Ink::bad, look.color),
             shown(disk.model())});
    if (!disks.empty()) text += disks.text(look.width, look.color, 2);
    return text;
}

std::string to_text(const v1::FlistList& list, const Look& look)
{
    std::string text =
        field("cache", size_text(list.cache_used()) + " of " + size_text(list.cache_size()), look);
    Table table{{">pid", ">entries", ">size", "workloads", "flist"}};
    for (const auto& flist : list.flists())
        table.row(
            {std::to_string(flist.pid()),
             cores_text(flist.entries()),
             size_text(flist.bytes()),
             joined(flist.workloads(), " "),
             shown(flist.url())});
    if (!table.empty()) text += '\n' + table.text(look.width, look.color);
    return text;
}

bool is_healthy(const v1::Doctor& doctor)
{
    for (const auto& check : doctor.checks())
        if (check.outcome() != "ok" && check.outcome() != "skipped" && check.outcome() != "warning")
            return false;
    return true;
}

std::string to_text(const v1::Doctor& doctor, const Look& look)
{
    std::string text;
    for (const auto& check : doctor.checks()) {
        const auto& outcome = check.outcome();
        const auto* mark = outcome == "ok"        ? "✓"
                           : outcome == "skipped" ? "-"
                           : outcome == "warning" ? "!"
                                                  : "✗";
        const auto head =
            shown(check.name()) + (check.message().empty() ? "" : ": " + shown(check.message()));
        auto lines = wrap(head, look.width - 2);
        for (std::size_t i = 0; i < lines.size(); ++i)
            text += (i == 0 ? paint(mark, ink_of_state(outcome), look.color) + " " : "  ") +
                    lines[i] + '\n';
        if (check.remedy().empty()) continue;
        lines = wrap(shown(check.remedy()), look.width - 4);
        for (std::size_t i = 0; i < lines.size(); ++i)
            text += (i == 0 ? "  → " : "    ") + lines[i] + '\n';
    }
    return text.empty() ? "nothing checked\n" : text;
}

std::string to_text(const v1::GcReport& report, const Look& look)
{
    if (report.items().empty()) return "nothing to remove\n";
    Table table{{"kind", "name", ">size", "why"}};
    for (const auto& item : report.items())
        table.row(
            {shown(item.kind()),
             shown(item.name()),
             size_text(item.bytes()),
             item.failure().empty()
                 ? shown(item.reason())
                 : paint("failed: " + shown(item.failure()), Ink::bad, look.color)});
    return table.text(look.width, look.color) + size_text(report.bytes()) +
           (report.dry_run() ? " would be given back\n" : " given back\n");
}

std::string to_text(const v1::Maintenance& maintenance, const Look& look)
{
    if (!maintenance.on()) return "maintenance is off: new workloads are accepted\n";
    std::string text =
        "maintenance is " + paint("on", Ink::warn, look.color) + ": new workloads are refused";
    if (!maintenance.reason().empty()) text += " (" + shown(maintenance.reason()) + ")";
    return text + '\n';
}

std::string to_text(const v1::Done& done, const Look&) { return shown(done.message()) + '\n'; }

}  // namespace znode::status
