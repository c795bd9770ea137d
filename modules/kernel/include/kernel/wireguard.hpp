#pragma once
// WireGuard devices, in the kernel or in a wireguard-go process, behind one type.

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"
#include "kernel/fd.hpp"

namespace znode::kernel {

/// A public key.
using WireGuardKey = std::array<std::uint8_t, 32>;

/// 44 characters of base64, as keys stand in documents. Errc::invalid for anything else.
[[nodiscard]] Result<WireGuardKey> parse_wireguard_key(std::string_view base64);
std::string to_text(const WireGuardKey& key);

struct TunnelPeer {
    WireGuardKey public_key{};
    std::optional<IpEndpoint> endpoint;  ///< Configured, or learnt from its packets.
    int keepalive = 0;                   ///< Seconds; 0: off.
    std::vector<IpNetwork> allowed;

    // What a device tells; ignored when configuring.
    std::int64_t last_handshake = 0;  ///< Unix seconds, 0: never.
    std::uint64_t received = 0;       ///< Bytes.
    std::uint64_t sent = 0;
};

/// A device as it is, or as it shall be.
struct TunnelConfig {
    Secret private_key;      ///< Base64; empty: none yet.
    std::uint16_t port = 0;  ///< UDP; 0: the kernel chooses.
    std::vector<TunnelPeer> peers;
};

/// A difference to apply. Peers that are not named keep their sessions.
struct TunnelChange {
    std::optional<Secret> private_key;
    std::optional<std::uint16_t> port;
    bool replace_peers = false;
    struct Peer {
        WireGuardKey public_key{};
        bool remove = false;
        std::optional<IpEndpoint> endpoint;
        std::optional<int> keepalive;
        bool replace_allowed = false;
        std::vector<IpNetwork> allowed;
    };
    std::vector<Peer> peers;

    bool empty() const { return !private_key && !port && !replace_peers && peers.empty(); }
};

/// All of `wanted` at once, for a device that has nothing yet. Costs every session of one that has.
TunnelChange whole_tunnel(const TunnelConfig& wanted);

/// What to change so that `present` becomes `wanted`. An allowed network that two peers list
/// belongs to the later one, as in the kernel. An endpoint that a peer was learnt at is kept where
/// `wanted` names none.
TunnelChange tunnel_difference(const TunnelConfig& present, const TunnelConfig& wanted);

/// The text of the userspace configuration protocol ("set=1…"), ended by an empty line. Carries the
/// private key where the change does: to be wiped.
Result<std::string> to_uapi(const TunnelChange& change);
/// The answer to "get=1". Errc::corrupt for what is none, the device's error otherwise.
Result<TunnelConfig> from_uapi(std::string_view text);

/// One device. Used by one thread at a time.
class Tunnel {
public:
    virtual ~Tunnel() = default;
    [[nodiscard]] virtual Result<TunnelConfig> read() = 0;
    /// Errc::exists: the UDP port is in use.
    [[nodiscard]] virtual Result<> apply(const TunnelChange& change) = 0;
};

/// A device of the kernel in this namespace. Errc::unsupported without WireGuard in the kernel.
[[nodiscard]] Result<std::unique_ptr<Tunnel>> make_kernel_tunnel(int netns, std::string name);

/// A device of a wireguard-go that listens on this socket.
[[nodiscard]] std::unique_ptr<Tunnel> make_userspace_tunnel(std::filesystem::path socket);

/// The process that serves a UAPI socket. Errc::not_found when nobody listens there (also when a
/// stale socket file lies there).
[[nodiscard]] Result<pid_t> uapi_server(const std::filesystem::path& socket);

/// A tun device in the calling thread's namespace: made, or a persistent one taken up again. It
/// ends with the descriptor unless `persistent`. Errc::unavailable (EBUSY) while somebody else
/// holds it.
[[nodiscard]] Result<Fd> open_tun(const std::string& name, bool persistent);

}  // namespace znode::kernel
