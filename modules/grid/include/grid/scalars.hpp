#pragma once
// The small types that the grid's documents are made of. All are values with one canonical text,
// since that text is signed.

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace znode::grid {

/// A list that remembers whether it was there: an unset one is written `null`, an empty one `[]`.
template <class T>
class List : public std::vector<T> {
public:
    List() = default;
    List(std::initializer_list<T> items) : std::vector<T>(items), present_{true} {}
    explicit List(std::vector<T> items) : std::vector<T>(std::move(items)), present_{true} {}

    /// Makes an empty list that is written `[]`.
    static List none() { return List(std::vector<T>{}); }
    bool is_null() const noexcept { return !present_ && this->empty(); }

private:
    bool present_ = false;
};

/// Seconds since 1970. Unset is the year 1: written 0, but printed as what it is in a challenge.
struct Date {
    static constexpr std::int64_t unset = -62135596800;
    std::int64_t unix = unset;

    bool is_set() const noexcept { return unix != unset; }
    bool operator==(const Date&) const = default;
};
/// `2021/04/28`, `28/04/2021`, `21/04/28`, `04/28` (of this year), each with ` 08:53` or ` 08pm:53`
/// behind; "" is unset.
Result<Date> parse_date(std::string_view text);

/// An IPv4 or IPv6 address. Unset: text is "".
class Ip {
public:
    Ip() = default;
    /// "" gives an unset one. Errc::invalid.
    static Result<Ip> parse(std::string_view text);

    bool is_set() const noexcept { return set_; }
    /// IPv4, also when it was written as IPv4-mapped IPv6.
    bool is_v4() const noexcept;
    /// Canonical: IPv6 in lower case and compressed.
    std::string text() const;
    /// In network order; IPv4 as mapped IPv6.
    const std::array<unsigned char, 16>& bytes() const noexcept { return bytes_; }
    bool operator==(const Ip&) const = default;

private:
    std::array<unsigned char, 16> bytes_{};
    bool set_ = false;
};

/// An address with the length of its network: "10.1.2.3/24". Host bits are kept. Unset: "".
class IpRange {
public:
    IpRange() = default;
    /// "" gives an unset one; an address without a length is Errc::invalid.
    static Result<IpRange> parse(std::string_view text);

    bool is_set() const noexcept { return ip_.is_set(); }
    const Ip& ip() const noexcept { return ip_; }
    unsigned prefix() const noexcept { return prefix_; }
    std::string text() const;
    bool operator==(const IpRange&) const = default;

private:
    Ip ip_;
    unsigned prefix_ = 0;
};

/// A MAC address in lower case, or "".
struct Mac {
    std::string text;
    bool operator==(const Mac&) const = default;
};

/// Any JSON value as its text; "" is written `null`.
struct RawJson {
    std::string text;
    bool operator==(const RawJson&) const = default;
};

// Enums travel as integers of eight bits. Values that have no name here are kept.
enum class WorkloadType : std::uint8_t {
    zdb,
    container,
    volume,
    network,  ///< Only as the category of a result, and in the old reservations.
    kubernetes,
    proxy,
    reverse_proxy,
    subdomain,
    domain_delegate,
    gateway4to6,
    network_resource,
    public_ip,
};
enum class NextAction : std::uint8_t {
    create,
    sign,
    pay,
    deploy,
    remove,
    invalid,
    deleted,
    migrated
};
enum class ResultState : std::uint8_t { error, ok, deleted };
enum class DiskType : std::uint8_t { hdd, ssd };
enum class ZdbMode : std::uint8_t { seq, user };
enum class Currency : std::uint8_t { eur, usd, tft, aed, gbp };

/// "zdb", "network_resource", …; "unknown" for a value without a name.
std::string_view to_string(WorkloadType type) noexcept;
std::string_view to_string(NextAction action) noexcept;
std::string_view to_string(ResultState state) noexcept;

/// What a workload is called everywhere: "<id>-<workload_id>".
struct Gwid {
    std::int64_t id = 0;
    std::int64_t workload_id = 0;

    std::string text() const { return std::to_string(id) + '-' + std::to_string(workload_id); }
    /// Decimal, without leading zeros. Errc::invalid.
    static Result<Gwid> parse(std::string_view text);
    auto operator<=>(const Gwid&) const = default;
};

}  // namespace znode::grid
