#include <arpa/inet.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <linux/time_types.h>
#include <linux/wireguard.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "base/hex.hpp"
#include "kernel/netlink.hpp"
#include "kernel/wireguard.hpp"
#include "netlink_attributes.hpp"

namespace znode::kernel {
namespace {

/// A generic netlink request. The buffer is wiped at the end: it may carry a private key.
class GenericRequest {
public:
    GenericRequest(std::uint16_t family, std::uint8_t command, unsigned flags)
    {
        message_->nlmsg_type = family;
        message_->nlmsg_flags = static_cast<std::uint16_t>(flags);
        auto* header =
            static_cast<genlmsghdr*>(mnl_nlmsg_put_extra_header(message_, sizeof(genlmsghdr)));
        header->cmd = command;
        header->version = 1;
    }
    ~GenericRequest() { wipe(storage_); }
    GenericRequest(const GenericRequest&) = delete;
    GenericRequest& operator=(const GenericRequest&) = delete;

    nlmsghdr* message() noexcept { return message_; }

private:
    std::string storage_ = std::string(std::size_t{32} << 10U, '\0');
    nlmsghdr* message_ = mnl_nlmsg_put_header(storage_.data());
};

Result<std::uint16_t> family_of_wireguard(NetlinkSocket& socket)
{
    GenericRequest get{GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 0};
    mnl_attr_put_strz(get.message(), CTRL_ATTR_FAMILY_NAME, WG_GENL_NAME);
    std::uint16_t family = 0;
    const auto asked = socket.dump(get.message(), "find WireGuard", [&](const nlmsghdr* message) {
        for (const auto* attr : attributes_of(message, sizeof(genlmsghdr)))
            if (mnl_attr_get_type(attr) == CTRL_ATTR_FAMILY_ID) family = mnl_attr_get_u16(attr);
    });
    if (!asked && asked.error().code != Errc::not_found) return tl::unexpected(asked.error());
    if (family == 0) return fail(Errc::unsupported, "this kernel has no WireGuard");
    return family;
}

void put_endpoint(nlmsghdr* message, const IpEndpoint& endpoint)
{
    const auto bytes = endpoint.address.bytes();
    if (endpoint.address.is_v4()) {
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_port = htons(endpoint.port);
        std::memcpy(&to.sin_addr, bytes.data(), bytes.size());
        mnl_attr_put(message, WGPEER_A_ENDPOINT, sizeof to, &to);
    } else {
        sockaddr_in6 to{};
        to.sin6_family = AF_INET6;
        to.sin6_port = htons(endpoint.port);
        std::memcpy(&to.sin6_addr, bytes.data(), bytes.size());
        mnl_attr_put(message, WGPEER_A_ENDPOINT, sizeof to, &to);
    }
}

std::optional<IpEndpoint> endpoint_of(const nlattr* attr)
{
    const auto size = mnl_attr_get_payload_len(attr);
    const void* bytes = mnl_attr_get_payload(attr);
    if (size == sizeof(sockaddr_in)) {
        sockaddr_in from{};
        std::memcpy(&from, bytes, sizeof from);
        return IpEndpoint{IpAddress::v4(ntohl(from.sin_addr.s_addr)), ntohs(from.sin_port)};
    }
    if (size != sizeof(sockaddr_in6)) return std::nullopt;
    sockaddr_in6 from{};
    std::memcpy(&from, bytes, sizeof from);
    std::array<std::uint8_t, 16> address{};
    std::memcpy(address.data(), &from.sin6_addr, address.size());
    return IpEndpoint{IpAddress::v6(address), ntohs(from.sin6_port)};
}

std::optional<IpNetwork> allowed_of(const nlattr* nest)
{
    std::optional<IpAddress> address;
    int length = 0;
    for (const auto* attr : nested_in(nest)) {
        const auto type = mnl_attr_get_type(attr);
        if (type == WGALLOWEDIP_A_CIDR_MASK) length = mnl_attr_get_u8(attr);
        if (type != WGALLOWEDIP_A_IPADDR) continue;
        std::array<std::uint8_t, 16> bytes{};
        const auto size = std::min<std::size_t>(mnl_attr_get_payload_len(attr), bytes.size());
        std::memcpy(bytes.data(), mnl_attr_get_payload(attr), size);
        std::uint32_t number = 0;
        std::memcpy(&number, bytes.data(), sizeof number);
        address = size == 4 ? IpAddress::v4(ntohl(number)) : IpAddress::v6(bytes);
    }
    if (!address) return std::nullopt;
    return IpNetwork{*address, length};
}

void take_peer(const nlattr* nest, TunnelConfig& config)
{
    TunnelPeer peer;
    for (const auto* attr : nested_in(nest)) {
        const void* bytes = mnl_attr_get_payload(attr);
        switch (mnl_attr_get_type(attr)) {
            case WGPEER_A_PUBLIC_KEY:
                if (mnl_attr_get_payload_len(attr) == peer.public_key.size())
                    std::memcpy(peer.public_key.data(), bytes, peer.public_key.size());
                break;
            case WGPEER_A_ENDPOINT:
                peer.endpoint = endpoint_of(attr);
                break;
            case WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL:
                peer.keepalive = mnl_attr_get_u16(attr);
                break;
            case WGPEER_A_LAST_HANDSHAKE_TIME: {
                __kernel_timespec when{};
                if (mnl_attr_get_payload_len(attr) == sizeof when)
                    std::memcpy(&when, bytes, sizeof when);
                peer.last_handshake = when.tv_sec;
                break;
            }
            case WGPEER_A_RX_BYTES:
                peer.received = mnl_attr_get_u64(attr);
                break;
            case WGPEER_A_TX_BYTES:
                peer.sent = mnl_attr_get_u64(attr);
                break;
            case WGPEER_A_ALLOWEDIPS: {
                for (const auto* inner : nested_in(attr))
                    if (const auto network = allowed_of(inner)) peer.allowed.push_back(*network);
                break;
            }
            default:
                break;
        }
    }
    // A peer with many networks goes on in the next message, under the same key.
    if (!config.peers.empty() && config.peers.back().public_key == peer.public_key)
        std::ranges::copy(peer.allowed, std::back_inserter(config.peers.back().allowed));
    else
        config.peers.push_back(std::move(peer));
}

class KernelTunnel final : public Tunnel {
public:
    KernelTunnel(NetlinkSocket socket, std::uint16_t family, std::string name)
        : socket_{std::move(socket)}, family_{family}, name_{std::move(name)}
    {
    }

    Result<TunnelConfig> read() override
    {
        GenericRequest get{family_, WG_CMD_GET_DEVICE, NLM_F_DUMP};
        mnl_attr_put_strz(get.message(), WGDEVICE_A_IFNAME, name_.c_str());
        TunnelConfig config;
        TRY_DO(socket_.dump(
            get.message(), "read WireGuard device " + name_, [&](const nlmsghdr* message) {
                for (const auto* attr : attributes_of(message, sizeof(genlmsghdr)))
                    take(attr, config);
            }));
        return config;
    }

    Result<> apply(const TunnelChange& change) override
    {
        if (change.private_key || change.port || change.replace_peers) TRY_DO(apply_device(change));
        // A message per piece of a peer: a netlink attribute cannot exceed 64 KiB.
        constexpr std::size_t piece = 200;
        for (const auto& peer : change.peers) {
            std::size_t done = 0;
            do {
                const auto count = std::min(piece, peer.allowed.size() - done);
                TRY_DO(apply_peer(peer, done, count));
                done += count;
            } while (done < peer.allowed.size());
        }
        return {};
    }

private:
    static void take(const nlattr* attr, TunnelConfig& config)
    {
        switch (mnl_attr_get_type(attr)) {
            case WGDEVICE_A_PRIVATE_KEY:
                config.private_key = Secret{to_base64(std::string_view{
                    static_cast<const char*>(mnl_attr_get_payload(attr)),
                    mnl_attr_get_payload_len(attr)})};
                break;
            case WGDEVICE_A_LISTEN_PORT:
                config.port = mnl_attr_get_u16(attr);
                break;
            case WGDEVICE_A_PEERS: {
                for (const auto* inner : nested_in(attr)) take_peer(inner, config);
                break;
            }
            default:
                break;
        }
    }

    Result<> apply_device(const TunnelChange& change)
    {
        GenericRequest set{family_, WG_CMD_SET_DEVICE, 0};
        mnl_attr_put_strz(set.message(), WGDEVICE_A_IFNAME, name_.c_str());
        if (change.private_key) {
            auto bytes = from_base64(change.private_key->reveal());
            if (!bytes || bytes->size() != WG_KEY_LEN)
                return fail(Errc::invalid, "the WireGuard private key is not 32 bytes of base64");
            mnl_attr_put(set.message(), WGDEVICE_A_PRIVATE_KEY, bytes->size(), bytes->data());
            wipe(*bytes);
        }
        if (change.port) mnl_attr_put_u16(set.message(), WGDEVICE_A_LISTEN_PORT, *change.port);
        if (change.replace_peers)
            mnl_attr_put_u32(set.message(), WGDEVICE_A_FLAGS, WGDEVICE_F_REPLACE_PEERS);
        return explained(socket_.request(set.message(), "configure WireGuard device " + name_));
    }

    Result<> apply_peer(const TunnelChange::Peer& peer, std::size_t from, std::size_t count)
    {
        GenericRequest set{family_, WG_CMD_SET_DEVICE, 0};
        auto* message = set.message();
        mnl_attr_put_strz(message, WGDEVICE_A_IFNAME, name_.c_str());
        auto* list = mnl_attr_nest_start(message, WGDEVICE_A_PEERS);
        auto* entry = mnl_attr_nest_start(message, 0);
        mnl_attr_put(message, WGPEER_A_PUBLIC_KEY, peer.public_key.size(), peer.public_key.data());
        std::uint32_t flags = peer.remove ? WGPEER_F_REMOVE_ME : 0;
        if (peer.replace_allowed && from == 0) flags |= WGPEER_F_REPLACE_ALLOWEDIPS;
        if (flags != 0) mnl_attr_put_u32(message, WGPEER_A_FLAGS, flags);
        if (peer.endpoint && from == 0) put_endpoint(message, *peer.endpoint);
        if (peer.keepalive)
            mnl_attr_put_u16(
                message,
                WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL,
                static_cast<std::uint16_t>(*peer.keepalive));
        if (count != 0) {
            auto* networks = mnl_attr_nest_start(message, WGPEER_A_ALLOWEDIPS);
            for (std::size_t i = from; i < from + count; ++i) {
                const auto network = peer.allowed[i].network();
                auto* one = mnl_attr_nest_start(message, 0);
                mnl_attr_put_u16(
                    message, WGALLOWEDIP_A_FAMILY, network.address.is_v4() ? AF_INET : AF_INET6);
                mnl_attr_put(
                    message,
                    WGALLOWEDIP_A_IPADDR,
                    network.address.bytes().size(),
                    network.address.bytes().data());
                mnl_attr_put_u8(
                    message, WGALLOWEDIP_A_CIDR_MASK, static_cast<std::uint8_t>(network.length));
                mnl_attr_nest_end(message, one);
            }
            mnl_attr_nest_end(message, networks);
        }
        mnl_attr_nest_end(message, entry);
        mnl_attr_nest_end(message, list);
        return explained(socket_.request(message, "configure WireGuard peer on " + name_));
    }

    static Result<> explained(Result<> outcome)
    {
        if (!outcome && outcome.error().message.find("Address already in use") != std::string::npos)
            return fail(Errc::exists, "configure WireGuard: the UDP port is in use");
        return outcome;
    }

    NetlinkSocket socket_;
    std::uint16_t family_;
    std::string name_;
};

}  // namespace

Result<std::unique_ptr<Tunnel>> make_kernel_tunnel(int netns, std::string name)
{
    TRY(auto socket, NetlinkSocket::open_in(netns, NETLINK_GENERIC));
    TRY(const auto family, family_of_wireguard(socket));
    return std::make_unique<KernelTunnel>(std::move(socket), family, std::move(name));
}

}  // namespace znode::kernel
