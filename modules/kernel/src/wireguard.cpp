#include "kernel/wireguard.hpp"

#include <algorithm>
#include <map>

#include "base/hex.hpp"
#include "base/text.hpp"

namespace znode::kernel {
namespace {

std::string_view as_text(const WireGuardKey& key)
{
    return {reinterpret_cast<const char*>(key.data()), key.size()};  // NOLINT: bytes as text.
}

std::optional<WireGuardKey> key_of_hex(std::string_view hex)
{
    const auto bytes = from_hex(hex);
    if (!bytes || bytes->size() != WireGuardKey{}.size()) return std::nullopt;
    WireGuardKey key{};
    std::ranges::transform(
        *bytes, key.begin(), [](char c) { return static_cast<std::uint8_t>(c); });
    return key;
}

/// What each peer really gets: the last one to list a network has it.
std::map<WireGuardKey, std::vector<IpNetwork>> effective(const std::vector<TunnelPeer>& peers)
{
    std::map<IpNetwork, WireGuardKey> owner;
    for (const auto& peer : peers)
        for (const auto& network : peer.allowed) owner[network.network()] = peer.public_key;
    std::map<WireGuardKey, std::vector<IpNetwork>> result;
    for (const auto& peer : peers) result[peer.public_key];
    for (const auto& [network, key] : owner) result[key].push_back(network);
    return result;
}

bool all_in(const std::vector<IpNetwork>& some, const std::vector<IpNetwork>& all)
{
    return std::ranges::all_of(
        some, [&](const auto& n) { return std::ranges::find(all, n) != all.end(); });
}

}  // namespace

Result<WireGuardKey> parse_wireguard_key(std::string_view base64)
{
    auto bytes = from_base64(base64);
    if (!bytes || base64.size() != 44 || bytes->size() != WireGuardKey{}.size())
        return fail(Errc::invalid, "a WireGuard key is 44 characters of base64 (32 bytes)");
    WireGuardKey key{};
    std::ranges::transform(
        *bytes, key.begin(), [](char c) { return static_cast<std::uint8_t>(c); });
    wipe(*bytes);
    return key;
}

std::string to_text(const WireGuardKey& key) { return to_base64(as_text(key)); }

TunnelChange whole_tunnel(const TunnelConfig& wanted)
{
    TunnelChange change{
        .private_key = wanted.private_key, .port = wanted.port, .replace_peers = true, .peers = {}};
    for (const auto& peer : wanted.peers)
        change.peers.push_back(
            {.public_key = peer.public_key,
             .endpoint = peer.endpoint,
             .keepalive = peer.keepalive,
             .replace_allowed = true,
             .allowed = peer.allowed});
    return change;
}

TunnelChange tunnel_difference(const TunnelConfig& present, const TunnelConfig& wanted)
{
    TunnelChange change;
    if (!(present.private_key == wanted.private_key)) change.private_key = wanted.private_key;
    if (present.port != wanted.port) change.port = wanted.port;

    const auto has = effective(present.peers);
    const auto gets = effective(wanted.peers);
    for (const auto& peer : present.peers)
        if (!gets.contains(peer.public_key))
            change.peers.push_back({.public_key = peer.public_key, .remove = true});

    for (const auto& peer : wanted.peers) {
        const auto& networks = gets.at(peer.public_key);
        const auto before =
            std::ranges::find(present.peers, peer.public_key, &TunnelPeer::public_key);
        if (before == present.peers.end()) {
            change.peers.push_back(
                {.public_key = peer.public_key,
                 .endpoint = peer.endpoint,
                 .keepalive = peer.keepalive,
                 .replace_allowed = true,
                 .allowed = networks});
            continue;
        }
        TunnelChange::Peer update{.public_key = peer.public_key};
        if (peer.endpoint && peer.endpoint != before->endpoint) update.endpoint = peer.endpoint;
        if (peer.keepalive != before->keepalive) update.keepalive = peer.keepalive;
        const auto& old = has.at(peer.public_key);
        if (!all_in(old, networks)) {
            update.replace_allowed = true;
            update.allowed = networks;
        } else {
            std::ranges::copy_if(networks, std::back_inserter(update.allowed), [&](const auto& n) {
                return std::ranges::find(old, n) == old.end();
            });
        }
        if (update.endpoint || update.keepalive || update.replace_allowed ||
            !update.allowed.empty())
            change.peers.push_back(std::move(update));
    }
    return change;
}

Result<std::string> to_uapi(const TunnelChange& change)
{
    std::string text = "set=1\n";
    if (change.private_key) {
        auto bytes = from_base64(change.private_key->reveal());
        if (!bytes || bytes->size() != WireGuardKey{}.size())
            return fail(Errc::invalid, "the WireGuard private key is not 32 bytes of base64");
        // Grown in one piece, so that no copy of the key is left in a freed buffer.
        text.reserve(std::size_t{4096} + change.peers.size() * 4096);
        auto hex = to_hex(*bytes);
        text += "private_key=" + hex + "\n";
        wipe(hex);
        wipe(*bytes);
    }
    if (change.port) text += "listen_port=" + std::to_string(*change.port) + "\n";
    if (change.replace_peers) text += "replace_peers=true\n";
    for (const auto& peer : change.peers) {
        text += "public_key=" + to_hex(as_text(peer.public_key)) + "\n";
        if (peer.remove) {
            text += "remove=true\n";
            continue;
        }
        if (peer.endpoint) text += "endpoint=" + peer.endpoint->text() + "\n";
        if (peer.keepalive)
            text += "persistent_keepalive_interval=" + std::to_string(*peer.keepalive) + "\n";
        if (peer.replace_allowed) text += "replace_allowed_ips=true\n";
        for (const auto& network : peer.allowed)
            text += "allowed_ip=" + network.network().text() + "\n";
    }
    return text + "\n";
}

Result<TunnelConfig> from_uapi(std::string_view text)
{
    TunnelConfig config;
    const auto broken = [](std::string_view line) {
        const auto name = line.substr(0, line.find('='));
        return fail(Errc::corrupt, "wireguard-go answered with a bad line: " + printable(name, 40));
    };
    for (const auto line : split(text, '\n')) {
        if (line.empty()) break;
        const auto equals = line.find('=');
        if (equals == std::string_view::npos) return broken(line);
        const auto name = line.substr(0, equals);
        const auto value = line.substr(equals + 1);
        if (name == "errno") {
            const auto err = to_number<int>(value);
            if (!err) return broken(line);
            if (*err != 0) return fail_errno(std::abs(*err), "read WireGuard device");
        } else if (name == "private_key") {
            auto bytes = from_hex(value);
            if (!bytes) return broken(line);
            config.private_key = Secret{to_base64(*bytes)};
            wipe(*bytes);
        } else if (name == "listen_port") {
            const auto port = to_number<std::uint16_t>(value);
            if (!port) return broken(line);
            config.port = *port;
        } else if (name == "public_key") {
            const auto key = key_of_hex(value);
            if (!key) return broken(line);
            config.peers.push_back({.public_key = *key});
        } else if (config.peers.empty()) {
            continue;
        } else if (name == "endpoint") {
            config.peers.back().endpoint = IpEndpoint::parse(value);
        } else if (name == "persistent_keepalive_interval") {
            config.peers.back().keepalive = to_number<int>(value).value_or(0);
        } else if (name == "allowed_ip") {
            const auto network = IpNetwork::parse(value);
            if (!network) return broken(line);
            config.peers.back().allowed.push_back(*network);
        } else if (name == "last_handshake_time_sec") {
            config.peers.back().last_handshake = to_number<std::int64_t>(value).value_or(0);
        } else if (name == "rx_bytes") {
            config.peers.back().received = to_number<std::uint64_t>(value).value_or(0);
        } else if (name == "tx_bytes") {
            config.peers.back().sent = to_number<std::uint64_t>(value).value_or(0);
        }
    }
    return config;
}

}  // namespace znode::kernel
