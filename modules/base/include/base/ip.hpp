#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace znode {

/// An IPv4 or IPv6 address as a value. IPv4 sorts before IPv6.
class IpAddress {
public:
    /// 0.0.0.0.
    IpAddress() = default;
    /// "192.0.2.1" or "2001:db8::1"; no zone, no brackets, nothing around it.
    static std::optional<IpAddress> parse(std::string_view text);
    /// From the number in host order: 0x7f000001 is 127.0.0.1.
    static IpAddress v4(std::uint32_t number) noexcept;
    static IpAddress v6(const std::array<std::uint8_t, 16>& bytes) noexcept;

    bool is_v4() const noexcept { return !v6_; }
    /// 4 or 16 bytes in network order.
    std::span<const std::uint8_t> bytes() const noexcept;
    /// The IPv4 address as a number in host order; 0 for IPv6.
    std::uint32_t number() const noexcept;
    int bits() const noexcept { return v6_ ? 128 : 32; }
    /// Canonical text (RFC 5952).
    std::string text() const;

    auto operator<=>(const IpAddress&) const = default;

private:
    bool v6_ = false;
    std::array<std::uint8_t, 16> bytes_{};
};

/// An address with the length of its network, "10.3.1.7/24"; the host part is kept.
struct IpNetwork {
    IpAddress address;
    int length = 0;

    /// "10.3.1.0/24", "fd00::/8". An address without length is no network.
    static std::optional<IpNetwork> parse(std::string_view text);

    /// Lowest address: the host part is zero.
    IpAddress first() const noexcept;
    /// Highest address: the broadcast address of an IPv4 network.
    IpAddress last() const noexcept;
    /// The same network without host part.
    IpNetwork network() const noexcept { return {first(), length}; }
    bool contains(const IpAddress& other) const noexcept;
    bool contains(const IpNetwork& other) const noexcept;
    bool overlaps(const IpNetwork& other) const noexcept;
    std::string text() const;

    auto operator<=>(const IpNetwork&) const = default;
};

/// Whether an address means the machine itself or a neighbour by its cable: loopback, unspecified,
/// link-local, the mapped IPv4 ones too.
bool is_near(const IpAddress& address);

/// An address and a port, "192.0.2.1:8030" or "[2001:db8::1]:8030". Names are not resolved.
struct IpEndpoint {
    IpAddress address;
    std::uint16_t port = 0;

    static std::optional<IpEndpoint> parse(std::string_view text);
    std::string text() const;

    auto operator<=>(const IpEndpoint&) const = default;
};

}  // namespace znode
