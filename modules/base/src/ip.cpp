#include "base/ip.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

#include "base/text.hpp"

namespace znode {
namespace {

/// The address with all bits behind the first `length` set to `ones`.
IpAddress with_host_part(const IpAddress& address, int length, bool ones)
{
    std::array<std::uint8_t, 16> bytes{};
    std::ranges::copy(address.bytes(), bytes.begin());
    for (int bit = length; bit < address.bits(); ++bit) {
        const auto mask = static_cast<std::uint8_t>(0x80U >> static_cast<unsigned>(bit % 8));
        auto& byte = bytes[static_cast<std::size_t>(bit / 8)];
        byte = static_cast<std::uint8_t>(ones ? byte | mask : byte & ~mask);
    }
    if (!address.is_v4()) return IpAddress::v6(bytes);
    std::uint32_t number = 0;
    for (std::size_t i = 0; i < 4; ++i) number = number << 8U | bytes[i];
    return IpAddress::v4(number);
}

}  // namespace

std::optional<IpAddress> IpAddress::parse(std::string_view text)
{
    char buffer[INET6_ADDRSTRLEN];
    if (text.empty() || text.size() >= sizeof buffer) return std::nullopt;
    if (text.find('\0') != std::string_view::npos) return std::nullopt;
    std::memcpy(buffer, text.data(), text.size());
    buffer[text.size()] = '\0';

    IpAddress address;
    if (::inet_pton(AF_INET, buffer, address.bytes_.data()) == 1) return address;
    if (::inet_pton(AF_INET6, buffer, address.bytes_.data()) != 1) return std::nullopt;
    address.v6_ = true;
    return address;
}

IpAddress IpAddress::v4(std::uint32_t number) noexcept
{
    IpAddress address;
    for (unsigned i = 0; i < 4; ++i)
        address.bytes_[i] = static_cast<std::uint8_t>(number >> (24U - 8U * i));
    return address;
}

IpAddress IpAddress::v6(const std::array<std::uint8_t, 16>& bytes) noexcept
{
    IpAddress address;
    address.v6_ = true;
    address.bytes_ = bytes;
    return address;
}

std::span<const std::uint8_t> IpAddress::bytes() const noexcept
{
    return {bytes_.data(), v6_ ? std::size_t{16} : std::size_t{4}};
}

std::uint32_t IpAddress::number() const noexcept
{
    if (v6_) return 0;
    std::uint32_t number = 0;
    for (std::size_t i = 0; i < 4; ++i) number = number << 8U | bytes_[i];
    return number;
}

std::string IpAddress::text() const
{
    char buffer[INET6_ADDRSTRLEN];
    ::inet_ntop(v6_ ? AF_INET6 : AF_INET, bytes_.data(), buffer, sizeof buffer);
    return buffer;
}

std::optional<IpNetwork> IpNetwork::parse(std::string_view text)
{
    const auto slash = text.find('/');
    if (slash == std::string_view::npos) return std::nullopt;
    const auto address = IpAddress::parse(text.substr(0, slash));
    const auto digits = text.substr(slash + 1);
    const auto length = to_number<int>(digits);
    if (!address || !length || digits.front() == '-' || *length > address->bits())
        return std::nullopt;
    return IpNetwork{*address, *length};
}

IpAddress IpNetwork::first() const noexcept { return with_host_part(address, length, false); }
IpAddress IpNetwork::last() const noexcept { return with_host_part(address, length, true); }

bool IpNetwork::contains(const IpAddress& other) const noexcept
{
    return other.is_v4() == address.is_v4() && first() <= other && other <= last();
}

bool IpNetwork::contains(const IpNetwork& other) const noexcept
{
    return other.length >= length && contains(other.address);
}

bool IpNetwork::overlaps(const IpNetwork& other) const noexcept
{
    return contains(other.first()) || other.contains(first());
}

std::string IpNetwork::text() const { return address.text() + "/" + std::to_string(length); }

bool is_near(const IpAddress& address)
{
    static constexpr const char* ranges[] = {
        "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "::/127", "fe80::/10"};
    if (const auto bytes = address.bytes(); bytes.size() == 16) {
        static const auto mapped = IpNetwork::parse("::ffff:0:0/96");
        if (mapped->contains(address)) {
            std::uint32_t number = 0;
            for (const auto byte : bytes.subspan(12)) number = number << 8U | byte;
            return is_near(IpAddress::v4(number));
        }
    }
    return std::ranges::any_of(ranges, [&](const char* range) {
        const auto network = IpNetwork::parse(range);
        return network->address.is_v4() == address.is_v4() && network->contains(address);
    });
}

std::optional<IpEndpoint> IpEndpoint::parse(std::string_view text)
{
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos) return std::nullopt;
    auto host = text.substr(0, colon);
    const bool brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
    if (brackets) host = host.substr(1, host.size() - 2);
    const auto address = IpAddress::parse(host);
    const auto port = to_number<std::uint16_t>(text.substr(colon + 1));
    if (!address || address->is_v4() == brackets || !port || *port == 0) return std::nullopt;
    return IpEndpoint{*address, *port};
}

std::string IpEndpoint::text() const
{
    const auto host = address.is_v4() ? address.text() : "[" + address.text() + "]";
    return host + ":" + std::to_string(port);
}

}  // namespace znode
