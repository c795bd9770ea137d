#include "container_order.hpp"

#include "base/hex.hpp"
#include "grid/challenge.hpp"
#include "http/url.hpp"

namespace znode::zgrid {

namespace {

/// Joins with lengths in front, so that no two lists of values give the same text.
class Digest {
public:
    Digest& add(std::string_view value)
    {
        text_ += std::to_string(value.size()) + ":";
        text_ += value;
        return *this;
    }
    Digest& add(std::int64_t value) { return add(std::string_view{std::to_string(value)}); }
    std::string text() const { return to_hex(grid::sha256(text_)); }

private:
    std::string text_;
};

/// As workloads of this version carry their secrets.
Result<std::string> hide(const Secret& text, const identity::PublicKey& node, const Sealer& by)
{
    return by.version == 0 ? identity::seal_for(node, text) : by.self.encrypt_for(node, text);
}

Result<grid::ContainerLogs> logs_of(
    const Secret& url, const identity::PublicKey& node, const Sealer& by)
{
    grid::ContainerLogs logs;
    logs.type = "redis";
    TRY(const auto parsed, http::parse_url(url.reveal()));
    const std::string base{url.reveal()};
    if (parsed.password.empty()) {
        logs.data.stdout_url = base + "-stdout";
        logs.data.stderr_url = base + "-stderr";
        return logs;
    }
    // The explorer shows plain URLs to everybody.
    TRY(logs.data.secret_stdout, hide(Secret{base + "-stdout"}, node, by));
    TRY(logs.data.secret_stderr, hide(Secret{base + "-stderr"}, node, by));
    return logs;
}

}  // namespace

grid::Volume volume_of(const VolumeWish& wish)
{
    grid::Volume volume;
    volume.size = wish.size;
    volume.type = wish.type;
    return volume;
}

Result<grid::Zdb> zdb_of(const ZdbWish& wish, const std::string& node, const Sealer& by)
{
    grid::Zdb zdb;
    zdb.size = wish.size;
    zdb.mode = wish.mode;
    zdb.disk_type = wish.type;
    zdb.is_public = wish.is_public;
    if (!wish.password.empty()) {
        TRY(const auto key, identity::key_of_node(node));
        TRY(zdb.password, hide(wish.password, key, by));
    }
    return zdb;
}

Result<grid::Container> container_of(
    const ContainerWish& wish, const ContainerParts& parts, const Sealer& by)
{
    TRY(const auto node, identity::key_of_node(parts.node));
    grid::Container container;
    container.flist = wish.flist;
    container.hub_url = wish.hub_url;
    container.entrypoint = wish.entrypoint;
    container.interactive = wish.interactive;
    for (const auto& [name, value] : wish.env)
        container.environment[name] = with_zdbs(value, parts.zdbs);
    for (const auto& [name, value] : wish.secret_env) {
        const Secret whole{with_zdbs(value.reveal(), parts.zdbs)};
        TRY(container.secret_environment[name], hide(whole, node, by));
    }
    container.volumes = decltype(container.volumes)::none();
    for (const auto& mount : wish.volumes) {
        const auto known = parts.volumes.find(mount.volume);
        if (!mount.is_gwid && known == parts.volumes.end())
            return fail(Errc::internal, "volume." + mount.volume + " was not ordered");
        container.volumes.push_back({mount.is_gwid ? mount.volume : known->second, mount.path});
    }
    grid::NetworkConnection connection;
    connection.network_id = wish.network;
    TRY(connection.ipaddress, grid::Ip::parse(parts.ip.text()));
    connection.public_ip6 = wish.public_ip6;
    container.network_connection = {connection};
    container.stats = decltype(container.stats)::none();
    container.logs = decltype(container.logs)::none();
    if (!wish.logs.empty()) {
        TRY(auto logs, logs_of(wish.logs, node, by));
        container.logs.push_back(std::move(logs));
    }
    container.capacity.cpu = wish.cpu;
    container.capacity.memory = wish.memory;
    container.capacity.disk_size = static_cast<std::uint64_t>(wish.disk);
    container.capacity.disk_type = wish.disk_type;
    return container;
}

std::string fingerprint(const VolumeWish& wish)
{
    return Digest{}.add("volume").add(wish.size).add(static_cast<std::int64_t>(wish.type)).text();
}

std::string fingerprint(const ZdbWish& wish)
{
    return Digest{}
        .add("zdb")
        .add(wish.size)
        .add(static_cast<std::int64_t>(wish.type))
        .add(static_cast<std::int64_t>(wish.mode))
        .add(wish.password.reveal())
        .add(wish.is_public ? 1 : 0)
        .text();
}

std::string fingerprint(const ContainerWish& wish)
{
    Digest digest;
    digest.add("container").add(wish.network).add(wish.ip ? wish.ip->text() : "");
    digest.add(wish.flist).add(wish.hub_url).add(wish.entrypoint).add(wish.interactive ? 1 : 0);
    digest.add(wish.public_ip6 ? 1 : 0).add(wish.cpu).add(wish.memory).add(wish.disk);
    digest.add(static_cast<std::int64_t>(wish.disk_type)).add(wish.logs.reveal());
    for (const auto& mount : wish.volumes) digest.add("volume").add(mount.path).add(mount.volume);
    for (const auto& [name, value] : wish.env) digest.add("env").add(name).add(value);
    for (const auto& [name, value] : wish.secret_env)
        digest.add("secret").add(name).add(value.reveal());
    return digest.text();
}

}  // namespace znode::zgrid
