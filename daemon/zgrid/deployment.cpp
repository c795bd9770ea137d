#include "deployment.hpp"

#include <algorithm>
#include <limits>
#include <set>
#include <tuple>

#include <toml++/toml.h>

#include "base/text.hpp"
#include "http/url.hpp"
#include "identity/identity.hpp"

namespace znode::zgrid {

namespace {

constexpr std::uint64_t mib = std::uint64_t{1} << 20U;
constexpr std::uint64_t gib = std::uint64_t{1} << 30U;
constexpr std::string_view reference_begin = "{zdb.";

int line_of(const toml::node& node) { return static_cast<int>(node.source().begin.line); }

bool is_private(const IpNetwork& network)
{
    for (const auto* range : {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"})
        if (IpNetwork::parse(range)->contains(network)) return true;
    return false;
}

/// Reads the members of one table, remembers which were asked for, and complains about the rest.
class Members {
public:
    Members(const toml::table& table, std::string where, std::vector<Mistake>& mistakes)
        : table_{table}, where_{std::move(where)}, mistakes_{mistakes}
    {
    }
    ~Members()
    {
        for (const auto& [key, node] : table_)
            if (!asked_.contains(std::string{key.str()}))
                wrong(line_of(node), "'" + printable(key.str()) + "' is not known here");
    }
    Members(const Members&) = delete;
    Members& operator=(const Members&) = delete;

    const toml::node* find(const char* key)
    {
        asked_.insert(key);
        return table_.get(key);
    }
    int line(const char* key) const
    {
        const auto* node = table_.get(key);
        return node != nullptr ? line_of(*node) : line_of(table_);
    }
    void wrong(int line, const std::string& text)
    {
        mistakes_.push_back({line, where_ + (where_.empty() ? "" : ": ") + text});
    }
    void wrong(const char* key, const std::string& text)
    {
        wrong(line(key), std::string{key} + " " + text);
    }

    std::optional<std::string> text(const char* key, bool needed = false)
    {
        const auto* node = find(key);
        if (node == nullptr) {
            if (needed) wrong(line_of(table_), std::string{key} + " is missing");
            return std::nullopt;
        }
        auto value = node->value_exact<std::string>();
        if (!value) wrong(key, "must be a text in quotes");
        if (needed && value && value->empty()) {
            wrong(key, "must not be empty");
            return std::nullopt;
        }
        return value;
    }
    std::optional<std::int64_t> number(const char* key, std::int64_t least)
    {
        const auto* node = find(key);
        if (node == nullptr) return std::nullopt;
        const auto value = node->value_exact<std::int64_t>();
        if (!value || *value < least) {
            wrong(key, "must be a whole number, at least " + std::to_string(least));
            return std::nullopt;
        }
        return value;
    }
    void flag(const char* key, bool& into)
    {
        const auto* node = find(key);
        if (node == nullptr) return;
        const auto value = node->value_exact<bool>();
        if (!value) return wrong(key, "must be true or false");
        into = *value;
    }
    /// In units of `unit` bytes; a size that is no whole number of them is a mistake.
    std::optional<std::int64_t> size(const char* key, std::uint64_t unit, bool needed)
    {
        const auto value = text(key, needed);
        if (!value) return std::nullopt;
        const auto bytes = parse_size(*value);
        if (!bytes) return wrong(key, "is wrong: " + bytes.error().message), std::nullopt;
        if (*bytes == 0 || *bytes % unit != 0)
            return wrong(key, "must be a whole number of " + format_size(unit).substr(2)),
                   std::nullopt;
        return static_cast<std::int64_t>(*bytes / unit);
    }
    template <class Value>
    void one_of(
        const char* key, std::initializer_list<std::pair<const char*, Value>> known, Value& into)
    {
        const auto value = text(key);
        if (!value) return;
        std::string list;
        for (const auto& [word, meaning] : known) {
            if (*value == word) {
                into = meaning;
                return;
            }
            list += (list.empty() ? "\"" : " or \"") + std::string{word} + "\"";
        }
        wrong(key, "must be " + list);
    }
    void node(const char* key, std::string& into)
    {
        const auto value = text(key);
        if (!value) return;
        check_node(line(key), *value);
        into = *value;
    }
    void check_node(int at, const std::string& value)
    {
        if (value != any_node && !identity::key_of_node(value))
            wrong(at, "'" + printable(value, 60) + "' is no node id; write one, or \"auto\"");
    }
    /// A table of texts; `lines` learns where "key.NAME" stands.
    std::map<std::string, std::string> texts(const char* key, std::map<std::string, int>& lines)
    {
        std::map<std::string, std::string> found;
        const auto* node = find(key);
        if (node == nullptr) return found;
        const auto* table = node->as_table();
        if (table == nullptr) {
            wrong(key, "must be a table such as { NAME = \"value\" }");
            return found;
        }
        for (const auto& [name, value] : *table) {
            lines[std::string{key} + "." + std::string{name.str()}] = line_of(value);
            if (const auto text = value.value_exact<std::string>())
                found.emplace(std::string{name.str()}, *text);
            else
                wrong(
                    line_of(value),
                    std::string{key} + "." + printable(name.str()) + " must be a text in quotes");
        }
        return found;
    }

private:
    const toml::table& table_;
    std::string where_;
    std::vector<Mistake>& mistakes_;
    std::set<std::string> asked_;
};

NetworkWish read_network(Members& members)
{
    NetworkWish wish;
    if (const auto range = members.text("range", true)) {
        const auto network = IpNetwork::parse(*range);
        if (!network || !network->address.is_v4() || network->length < 8 || network->length > 23 ||
            !is_private(*network))
            members.wrong(
                "range",
                "must be a private IPv4 range with room for a /24 per node, such as "
                "172.20.0.0/16");
        else
            wish.range = network->network();
    }
    const auto* nodes = members.find("nodes");
    const auto* list = nodes != nullptr ? nodes->as_array() : nullptr;
    if (list == nullptr || list->empty()) {
        members.wrong("nodes", "must list the nodes of the network: [\"NODEID\", \"auto\"]");
    } else {
        std::set<std::string> seen;
        for (const auto& each : *list) {
            const auto id = each.value_exact<std::string>();
            if (!id) {
                members.wrong(line_of(each), "nodes must be texts in quotes");
                continue;
            }
            members.check_node(line_of(each), *id);
            if (*id != any_node && !seen.insert(*id).second)
                members.wrong(line_of(each), "node " + *id + " is listed twice");
            wish.nodes.push_back(*id);
        }
    }
    if (const auto access = members.text("access")) {
        if (!access->empty() && std::ranges::find(wish.nodes, *access) == wish.nodes.end())
            members.wrong("access", "must be one of the network's nodes");
        wish.access = *access;
    }
    return wish;
}

void read_disk_type(Members& members, const char* key, grid::DiskType& into)
{
    members.one_of<grid::DiskType>(
        key, {{"ssd", grid::DiskType::ssd}, {"hdd", grid::DiskType::hdd}}, into);
}

VolumeWish read_volume(Members& members)
{
    VolumeWish wish;
    members.node("node", wish.node);
    wish.size = members.size("size", gib, true).value_or(0);
    read_disk_type(members, "type", wish.type);
    return wish;
}

ZdbWish read_zdb(Members& members)
{
    ZdbWish wish;
    members.node("node", wish.node);
    wish.size = members.size("size", gib, true).value_or(0);
    read_disk_type(members, "type", wish.type);
    members.one_of<grid::ZdbMode>(
        "mode", {{"seq", grid::ZdbMode::seq}, {"user", grid::ZdbMode::user}}, wish.mode);
    if (auto password = members.text("password")) wish.password = Secret{std::move(*password)};
    members.flag("public", wish.is_public);
    return wish;
}

void read_logs(Members& members, ContainerWish& wish)
{
    auto logs = members.text("logs");
    if (!logs || logs->empty()) return;
    const auto url = http::parse_url(*logs);
    if (!url || url->scheme != "redis" || url->path.size() < 2)
        members.wrong("logs", "must be redis://[:password@]host:port/CHANNEL");
    else
        wish.logs = Secret{std::move(*logs)};
}

ContainerWish read_container(Members& members)
{
    ContainerWish wish;
    members.node("node", wish.node);
    wish.network = members.text("network", true).value_or("");
    if (const auto ip = members.text("ip")) {
        wish.lines["ip"] = members.line("ip");
        wish.ip = IpAddress::parse(*ip);
        if (!wish.ip || !wish.ip->is_v4()) members.wrong("ip", "must be an IPv4 address");
    }
    wish.flist = members.text("flist", true).value_or("");
    if (!wish.flist.empty())
        if (const auto url = http::parse_url(wish.flist);
            !url || (url->scheme != "http" && url->scheme != "https"))
            members.wrong("flist", "must be an http:// or https:// URL");
    wish.hub_url = members.text("hub_url").value_or("");
    wish.entrypoint = members.text("entrypoint").value_or("");
    members.flag("interactive", wish.interactive);
    members.flag("public_ip6", wish.public_ip6);
    wish.cpu = members.number("cpu", 1).value_or(1);
    wish.memory = members.size("memory", mib, true).value_or(0);
    wish.disk = members.size("disk", mib, false).value_or(0);
    read_disk_type(members, "disk_type", wish.disk_type);
    for (auto& [path, volume] : members.texts("volumes", wish.lines)) {
        const bool is_gwid = grid::Gwid::parse(volume).has_value();
        if (!path.starts_with('/') || path == "/")
            members.wrong("volumes", "'" + printable(path) + "' must be an absolute path below /");
        wish.volumes.push_back({path, volume, is_gwid});
    }
    wish.env = members.texts("env", wish.lines);
    for (auto& [name, value] : members.texts("secret_env", wish.lines))
        wish.secret_env.emplace(name, Secret{value});
    read_logs(members, wish);
    return wish;
}

/// Reads each table of a kind: `[kind.NAME]` or `kind.NAME = { … }`.
template <class Wish>
void read_each(
    Members& file,
    const char* kind,
    Wish (*read)(Members&),
    std::vector<Wish>& into,
    std::vector<Mistake>& mistakes)
{
    const auto* node = file.find(kind);
    if (node == nullptr) return;
    const auto* table = node->as_table();
    if (table == nullptr) {
        file.wrong(kind, "needs a name: " + std::string{kind} + ".NAME = { … }");
        return;
    }
    for (const auto& [name, each] : *table) {
        const auto where = std::string{kind} + "." + printable(name.str());
        const auto* members = each.as_table();
        if (members == nullptr) {
            mistakes.push_back({line_of(each), where + " must be a table"});
            continue;
        }
        Members reader{*members, where, mistakes};
        auto wish = read(reader);
        wish.name = name.str();
        wish.line = line_of(each);
        into.push_back(std::move(wish));
    }
}

template <class Wish>
const Wish* named(const std::vector<Wish>& wishes, std::string_view name)
{
    const auto at = std::ranges::find(wishes, name, &Wish::name);
    return at == wishes.end() ? nullptr : &*at;
}

void check_value(
    const Deployment& deployment,
    const ContainerWish& container,
    const std::string& member,
    std::string_view value,
    std::vector<Mistake>& mistakes)
{
    for (const auto& name : zdbs_in(value))
        if (named(deployment.zdbs, name) == nullptr)
            mistakes.push_back(
                {container.line_of(member),
                 "container." + container.name + ": " + printable(member) + ": there is no zdb." +
                     printable(name) + " in this file to refer to"});
}

void check_container(
    const Deployment& deployment, const ContainerWish& container, std::vector<Mistake>& mistakes)
{
    const auto wrong = [&](const std::string& member, const std::string& text) {
        mistakes.push_back(
            {container.line_of(member), "container." + container.name + ": " + text});
    };
    const auto* network = named(deployment.networks, container.network);
    if (network != nullptr && container.ip && network->range.length != 0 &&
        !network->range.contains(*container.ip))
        wrong(
            "ip",
            "ip " + container.ip->text() + " is not in " + network->range.text() +
                ", the range of network." + network->name);
    for (const auto& mount : container.volumes) {
        if (mount.is_gwid) continue;
        const auto* volume = named(deployment.volumes, mount.volume);
        if (volume == nullptr)
            wrong(
                "volumes." + mount.path,
                "there is no volume." + printable(mount.volume) +
                    " in this file; an older one is named by its id, such as \"12-1\"");
        else if (
            volume->node != any_node && container.node != any_node &&
            volume->node != container.node)
            wrong(
                "volumes." + mount.path,
                "volume." + volume->name + " is on another node; both must be on one");
    }
    for (const auto& [name, value] : container.env)
        check_value(deployment, container, "env." + name, value, mistakes);
    for (const auto& [name, value] : container.secret_env)
        check_value(deployment, container, "secret_env." + name, value.reveal(), mistakes);
    for (const auto& other : deployment.containers)
        if (&other < &container && other.ip && other.ip == container.ip &&
            other.network == container.network)
            wrong("ip", "has the ip of container." + other.name);
}

Deployment read_file(const toml::table& table, std::vector<Mistake>& mistakes)
{
    Deployment deployment;
    {
        Members file{table, "", mistakes};
        deployment.name = file.text("name", true).value_or("");
        if (const auto* pool = file.find("pool"); pool != nullptr) {
            if (const auto id = pool->value_exact<std::int64_t>(); id && *id > 0)
                deployment.pool = id;
            else if (pool->value_exact<std::string>() != "auto")
                file.wrong("pool", "must be the number of a pool, or \"auto\"");
        }
        if (const auto duration = file.text("duration")) {
            deployment.duration_line = file.line("duration");
            if (const auto lifetime = parse_lifetime(*duration))
                deployment.duration = *lifetime;
            else
                file.wrong("duration", lifetime.error().message);
        }
        read_each(file, "network", &read_network, deployment.networks, mistakes);
        read_each(file, "volume", &read_volume, deployment.volumes, mistakes);
        read_each(file, "zdb", &read_zdb, deployment.zdbs, mistakes);
        read_each(file, "container", &read_container, deployment.containers, mistakes);
    }
    for (const auto& container : deployment.containers)
        check_container(deployment, container, mistakes);
    return deployment;
}

}  // namespace

ReadDeployment read_deployment(std::string_view text)
{
    ReadDeployment read;
    try {
        const auto table = toml::parse(text);
        read.deployment = read_file(table, read.mistakes);
    } catch (const toml::parse_error& error) {
        read.mistakes.push_back(
            {static_cast<int>(error.source().begin.line), std::string{error.description()}});
    }
    std::ranges::sort(read.mistakes, [](const Mistake& a, const Mistake& b) {
        return std::tie(a.line, a.text) < std::tie(b.line, b.text);
    });
    return read;
}

std::string to_text(const std::vector<Mistake>& mistakes, const std::filesystem::path& file)
{
    std::string text;
    for (const auto& mistake : mistakes) {
        if (!text.empty()) text += '\n';
        text += file.string();
        if (mistake.line > 0) text += ":" + std::to_string(mistake.line);
        text += ": " + mistake.text;
    }
    return text;
}

Result<std::chrono::seconds> parse_lifetime(std::string_view text)
{
    const auto unit = text.empty() ? ' ' : text.back();
    const std::int64_t seconds = unit == 'm'   ? 60
                                 : unit == 'h' ? 3600
                                 : unit == 'd' ? 86'400
                                 : unit == 'w' ? 604'800
                                 : unit == 's' ? 1
                                               : 0;
    const auto number =
        seconds == 0 ? std::nullopt : to_number<std::int64_t>(text.substr(0, text.size() - 1));
    if (!number || *number < 1 || *number > 1'000'000'000 / seconds)
        return fail(Errc::invalid, "must be a time such as \"24h\", \"90m\" or \"30d\"");
    return std::chrono::seconds{*number * seconds};
}

std::vector<std::string> zdbs_in(std::string_view value)
{
    std::vector<std::string> names;
    for (auto at = value.find(reference_begin); at != std::string_view::npos;
         at = value.find(reference_begin, at + 1)) {
        const auto begin = at + reference_begin.size();
        const auto end = value.find('}', begin);
        if (end == std::string_view::npos) break;
        names.emplace_back(value.substr(begin, end - begin));
    }
    return names;
}

std::string with_zdbs(std::string_view value, const std::map<std::string, std::string>& found)
{
    std::string text;
    std::size_t at = 0;
    for (;;) {
        const auto begin = value.find(reference_begin, at);
        const auto end = begin == std::string_view::npos ? begin : value.find('}', begin);
        if (end == std::string_view::npos) break;
        const auto name_begin = begin + reference_begin.size();
        const auto known = found.find(std::string{value.substr(name_begin, end - name_begin)});
        text += value.substr(at, begin - at);
        text += known != found.end() ? known->second : value.substr(begin, end + 1 - begin);
        at = end + 1;
    }
    return text + std::string{value.substr(at)};
}

std::string zdb_reference(
    std::string_view name, const Secret& password, std::string_view host, std::int64_t port)
{
    const bool v6 = host.find(':') != std::string_view::npos;
    return std::string{name} + ":" + http::percent_encode(password.reveal()) + "@" +
           (v6 ? "[" : "") + std::string{host} + (v6 ? "]" : "") + ":" + std::to_string(port);
}

}  // namespace znode::zgrid
