#include "state.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <random>
#include <stdexcept>

#include <nlohmann/json.hpp>

#include "base/hex.hpp"
#include "base/text.hpp"
#include "explorer/node_api.hpp"
#include "kernel/files.hpp"

namespace znode::zgrid {

namespace {

using Json = nlohmann::json;

IpNetwork network_of(const Json& json)
{
    const auto network = IpNetwork::parse(json.get<std::string>());
    if (!network) throw std::invalid_argument{"not a network"};
    return *network;
}

Json to_json(const KnownMember& member)
{
    Json endpoints = Json::array();
    for (const auto& each : member.endpoints) endpoints.push_back(each.text());
    return {
        {"node", member.node},
        {"subnet", member.subnet.text()},
        {"public_key", member.public_key},
        {"sealed_key", member.sealed_key},
        {"port", member.port},
        {"endpoints", endpoints},
        {"workload", member.workload}};
}

KnownMember member_of(const Json& json)
{
    KnownMember member;
    member.node = json.at("node").get<std::string>();
    member.subnet = network_of(json.at("subnet"));
    member.public_key = json.at("public_key").get<std::string>();
    member.sealed_key = json.at("sealed_key").get<std::string>();
    member.port = json.at("port").get<std::uint16_t>();
    for (const auto& each : json.at("endpoints"))
        if (const auto address = IpAddress::parse(each.get<std::string>()))
            member.endpoints.push_back(*address);
    member.workload = json.at("workload").get<std::int64_t>();
    return member;
}

Json to_json(const KnownNetwork& network)
{
    Json members = Json::array();
    for (const auto& each : network.members) members.push_back(to_json(each));
    Json accesses = Json::array();
    for (const auto& each : network.accesses)
        accesses.push_back(
            {{"node", each.node},
             {"subnet", each.subnet.text()},
             {"public_key", each.public_key},
             {"private_key", std::string{each.private_key.reveal()}},
             {"ipv4", each.ipv4}});
    return {
        {"range", network.range.text()},
        {"pool", network.pool},
        {"members", members},
        {"accesses", accesses},
        {"token", network.token},
        {"ending", network.ending}};
}

KnownNetwork known_network_of(const Json& json)
{
    KnownNetwork network;
    network.range = network_of(json.at("range"));
    network.pool = json.at("pool").get<std::int64_t>();
    for (const auto& each : json.at("members")) network.members.push_back(member_of(each));
    for (const auto& each : json.at("accesses")) {
        auto& access = network.accesses.emplace_back();
        access.node = each.at("node").get<std::string>();
        access.subnet = network_of(each.at("subnet"));
        access.public_key = each.at("public_key").get<std::string>();
        access.private_key = Secret{each.at("private_key").get<std::string>()};
        access.ipv4 = each.at("ipv4").get<bool>();
    }
    // Files of earlier versions have neither.
    network.token = json.value("token", "");
    network.ending = json.value("ending", std::vector<std::int64_t>{});
    return network;
}

Json to_json(const KnownGrid& grid)
{
    Json networks = Json::object();
    for (const auto& [name, network] : grid.networks) networks[name] = to_json(network);
    Json deployments = Json::object();
    for (const auto& [name, items] : grid.deployments) {
        Json list = Json::object();
        for (const auto& [key, item] : items)
            list[key] = {
                {"workload", item.workload},
                {"node", item.node},
                {"fingerprint", item.fingerprint},
                {"ip", item.ip},
                {"token", item.token}};
        deployments[name] = list;
    }
    return {{"networks", networks}, {"deployments", deployments}};
}

KnownGrid grid_of(const Json& json)
{
    KnownGrid grid;
    for (const auto& [name, network] : json.at("networks").items())
        grid.networks.emplace(name, known_network_of(network));
    for (const auto& [name, items] : json.at("deployments").items())
        for (const auto& [key, item] : items.items())
            grid.deployments[name].emplace(
                key,
                KnownItem{
                    item.at("workload").get<std::int64_t>(),
                    item.at("node").get<std::string>(),
                    item.at("fingerprint").get<std::string>(),
                    item.at("ip").get<std::string>(),
                    item.value("token", "")});
    return grid;
}

/// The lock is on a file beside, since the file itself is replaced. It is never removed: who waits
/// for it may have it open.
Result<kernel::Fd> lock_beside(const std::filesystem::path& file)
{
    const auto path = file.string() + ".lock";
    TRY(auto lock, kernel::open_file(path, O_RDWR | O_CREAT, 0600));
    const int err =
        error_of(kernel::retry_eintr([&] { return ::flock(lock.get(), LOCK_EX | LOCK_NB); }));
    if (err == EWOULDBLOCK) {
        const auto holder = kernel::read_file(path);
        return fail(
            Errc::unavailable,
            "another zgrid" +
                (holder && !trim(*holder).empty()
                     ? ", process " + printable(trim(*holder), 16) + ","
                     : std::string{}) +
                " is changing " + file.string());
    }
    if (err != 0) return fail_errno(err, "lock " + path);
    const auto pid = std::to_string(::getpid()) + '\n';
    // Only for the words above: the lock holds without them.
    if (::ftruncate(lock.get(), 0) == 0) (void)!::pwrite(lock.get(), pid.data(), pid.size(), 0);
    return lock;
}

}  // namespace

std::string new_token()
{
    std::random_device chance;
    std::string bytes;
    while (bytes.size() < 16) bytes += static_cast<char>(chance() & 0xffU);
    return to_hex(bytes);
}

const KnownMember* KnownNetwork::member(std::string_view node) const
{
    const auto at = std::ranges::find(members, node, &KnownMember::node);
    return at == members.end() ? nullptr : &*at;
}

Result<State> State::load(
    const std::filesystem::path& identity, const std::string& explorer, std::int64_t user)
{
    State state;
    state.file_ = identity.string() + ".state";
    state.key_ = explorer::explorer_root(explorer) + " " + std::to_string(user);
    state.others_ = "{}";
    auto text = kernel::read_file(state.file_);
    if (!text) {
        if (text.error().code == Errc::not_found) return state;
        return tl::unexpected(std::move(text).error());
    }
    try {
        auto json = Json::parse(*text);
        if (!json.is_object()) throw std::invalid_argument{"not an object"};
        if (const auto mine = json.find(state.key_); mine != json.end()) {
            state.grid_ = grid_of(*mine);
            json.erase(mine);
        }
        state.others_ = json.dump();
    } catch (const std::exception&) {
        // The text may hold keys, so it is not quoted.
        return fail(
            Errc::corrupt,
            state.file_.string() +
                " is damaged; put a copy of it back, or move it away to begin "
                "anew (networks made before cannot be changed then)");
    }
    return state;
}

Result<State> State::load_for_change(
    const std::filesystem::path& identity, const std::string& explorer, std::int64_t user)
{
    TRY(auto lock, lock_beside(identity.string() + ".state"));
    TRY(auto state, load(identity, explorer, user));
    state.lock_ = std::move(lock);
    return state;
}

Result<> State::save() const
{
    if (!lock_) return fail(Errc::internal, file_.string() + " was read, but not to be changed");
    auto json = Json::parse(others_);
    json[key_] = to_json(grid_);
    auto text = json.dump(1) + '\n';
    auto written = kernel::write_file_atomically(file_, text, 0600);
    wipe(text);
    if (!written)
        return tl::unexpected(std::move(written).error().during("remember what was ordered"));
    return {};
}

}  // namespace znode::zgrid
