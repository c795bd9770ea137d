#include "grid/challenge.hpp"

#include <array>
#include <map>
#include <type_traits>

#include <sodium.h>

#include "base/text.hpp"

namespace znode::grid {
namespace {

// How each kind of value prints. Unset addresses print as the originals' nil.
constexpr std::string_view nil = "<nil>";
constexpr std::string_view unknown = "UNKNOWN";

void print(std::string& out, const std::string& value) { out += value; }
void print(std::string& out, bool value) { out += value ? "true" : "false"; }
template <class T>
    requires std::is_integral_v<T>
void print(std::string& out, T value)
{
    out += std::to_string(value);
}
void print(std::string& out, const Ip& value)
{
    if (value.is_set())
        out += value.text();
    else
        out += nil;
}
void print(std::string& out, const IpRange& value)
{
    if (value.is_set())
        out += value.text();
    else
        out += nil;
}
void print(std::string& out, DiskType value)
{
    out += value == DiskType::hdd ? "hdd" : value == DiskType::ssd ? "ssd" : unknown;
}
void print(std::string& out, ZdbMode value)
{
    out += value == ZdbMode::seq ? "seq" : value == ZdbMode::user ? "user" : unknown;
}
/// A std::map is sorted by the bytes of its keys, as the signature wants it.
void print(std::string& out, const std::map<std::string, std::string>& value)
{
    for (const auto& [key, text] : value) out += key + '=' + text;
}

std::string upper(std::string_view text)
{
    std::string out{text};
    for (auto& c : out) {
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    }
    return out;
}
std::string disk_in_capitals(DiskType type)
{
    std::string text;
    print(text, type);
    return upper(text);
}

// The members that are signed, per type, in their order.
template <class T>
struct Signed;

template <class T>
using Piece = void (*)(std::string&, const T&);

template <class M>
struct ClassOf;
template <class C, class M>
struct ClassOf<M C::*> {
    using Class = C;
};
template <auto... Members>
struct PathClass;
template <auto First, auto... Rest>
struct PathClass<First, Rest...> {
    using Class = typename ClassOf<decltype(First)>::Class;
};

template <class T>
void print_signed(std::string& out, const T& object)
{
    for (const auto piece : Signed<T>::pieces) piece(out, object);
}
template <class T>
    requires requires { Signed<T>::pieces; }
void print(std::string& out, const T& object)
{
    print_signed(out, object);
}
template <class T>
void print(std::string& out, const List<T>& list)
{
    for (const auto& item : list) print(out, item);
}

/// A member, or one of a struct inside.
template <auto... Path>
constexpr auto piece = +[](std::string& out, const typename PathClass<Path...>::Class& object) {
    print(out, (object.*....*Path));
};

template <>
struct Signed<ContainerMount> {
    static constexpr std::array<Piece<ContainerMount>, 2> pieces{
        piece<&ContainerMount::volume_id>, piece<&ContainerMount::mountpoint>};
};
template <>
struct Signed<NetworkConnection> {
    using T = NetworkConnection;
    static constexpr std::array<Piece<T>, 3> pieces{
        piece<&T::network_id>, piece<&T::ipaddress>, piece<&T::public_ip6>};
};
template <>
struct Signed<WireguardPeer> {
    using T = WireguardPeer;
    static constexpr std::array<Piece<T>, 4> pieces{
        piece<&T::public_key>, piece<&T::endpoint>, piece<&T::iprange>, piece<&T::allowed_iprange>};
};

template <>
struct Signed<Zdb> {
    static constexpr std::array<Piece<Zdb>, 5> pieces{
        piece<&Zdb::size>,
        piece<&Zdb::mode>,
        piece<&Zdb::password>,
        piece<&Zdb::disk_type>,
        piece<&Zdb::is_public>};
};
/// Not signed: stats, logs, yggdrasil_ip.
template <>
struct Signed<Container> {
    using T = Container;
    using C = ContainerCapacity;
    static constexpr std::array<Piece<T>, 12> pieces{
        piece<&T::flist>,
        piece<&T::hub_url>,
        piece<&T::entrypoint>,
        piece<&T::interactive>,
        piece<&T::environment>,
        piece<&T::secret_environment>,
        piece<&T::volumes>,
        piece<&T::network_connection>,
        piece<&T::capacity, &C::cpu>,
        piece<&T::capacity, &C::memory>,
        piece<&T::capacity, &C::disk_size>,
        piece<&T::capacity, &C::disk_type>};
};
template <>
struct Signed<Volume> {
    static constexpr std::array<Piece<Volume>, 2> pieces{
        piece<&Volume::size>,
        [](std::string& out, const Volume& volume) { out += disk_in_capitals(volume.type); }};
};
template <>
struct Signed<Kubernetes> {
    using T = Kubernetes;
    static constexpr std::array<Piece<T>, 9> pieces{
        piece<&T::size>,
        piece<&T::cluster_secret>,
        piece<&T::network_id>,
        piece<&T::ipaddress>,
        piece<&T::master_ips>,
        piece<&T::ssh_keys>,
        piece<&T::public_ip>,
        piece<&T::datastore_endpoint>,
        piece<&T::disable_default_ingress>};
};
template <>
struct Signed<Proxy> {
    static constexpr std::array<Piece<Proxy>, 4> pieces{
        piece<&Proxy::domain>, piece<&Proxy::addr>, piece<&Proxy::port>, piece<&Proxy::port_tls>};
};
template <>
struct Signed<ReverseProxy> {
    static constexpr std::array<Piece<ReverseProxy>, 2> pieces{
        piece<&ReverseProxy::domain>, piece<&ReverseProxy::secret>};
};
template <>
struct Signed<Subdomain> {
    static constexpr std::array<Piece<Subdomain>, 2> pieces{
        piece<&Subdomain::domain>, piece<&Subdomain::ips>};
};
template <>
struct Signed<DomainDelegate> {
    static constexpr std::array<Piece<DomainDelegate>, 1> pieces{piece<&DomainDelegate::domain>};
};
template <>
struct Signed<Gateway4To6> {
    static constexpr std::array<Piece<Gateway4To6>, 1> pieces{piece<&Gateway4To6::public_key>};
};
template <>
struct Signed<NetworkResource> {
    using T = NetworkResource;
    static constexpr std::array<Piece<T>, 7> pieces{
        piece<&T::name>,
        piece<&T::network_iprange>,
        piece<&T::wireguard_private_key_encrypted>,
        piece<&T::wireguard_public_key>,
        piece<&T::wireguard_listen_port>,
        piece<&T::iprange>,
        piece<&T::peers>};
};
template <>
struct Signed<PublicIp> {
    static constexpr std::array<Piece<PublicIp>, 1> pieces{piece<&PublicIp::ipaddress>};
};

}  // namespace

std::string challenge(const Workload& workload, Date epoch)
{
    std::string text;
    print(text, workload.workload_id);
    print(text, workload.node_id);
    print(text, workload.pool_id);
    print(text, workload.reference);
    print(text, workload.customer_tid);
    print(text, upper(to_string(workload.workload_type)));
    print(text, epoch.unix);
    print(text, workload.description);
    print(text, workload.metadata);
    std::visit([&](const auto& data) { print_signed(text, data); }, workload.data);
    return text;
}

std::string challenge(const Workload& workload) { return challenge(workload, workload.epoch); }

std::string create_message(const Workload& workload) { return sha256(challenge(workload)); }

std::string delete_message(const Workload& workload, std::int64_t tid)
{
    return sha256(challenge(workload) + "delete" + std::to_string(tid));
}

std::string provision_message(const Workload& workload, std::int64_t tid)
{
    return sha256(challenge(workload) + "provision" + std::to_string(tid));
}

std::string sha256(std::string_view text)
{
    std::string hash(crypto_hash_sha256_BYTES, '\0');
    crypto_hash_sha256(
        reinterpret_cast<unsigned char*>(hash.data()),
        reinterpret_cast<const unsigned char*>(text.data()),
        text.size());
    return hash;
}

}  // namespace znode::grid
