#include "config.hpp"

#include <tuple>

#include "base/ip.hpp"
#include "config_reader.hpp"

namespace znode::agent {
namespace {

void read_location(ConfigReader& reader, const char* setting, Config::Node& node)
{
    const auto* found = reader.node(setting);
    if (found == nullptr) return;
    const auto* place = found->as_table();
    if (place == nullptr) {
        reader.mistake(*found, "node.location must be a table: { country = \"Austria\", … }");
        return;
    }
    for (const auto& [key, child] : *place) {
        const auto name = key.str();
        std::string* text = name == "continent" ? &node.continent
                            : name == "country" ? &node.country
                            : name == "city"    ? &node.city
                                                : nullptr;
        double* degrees = name == "latitude"    ? &node.latitude
                          : name == "longitude" ? &node.longitude
                                                : nullptr;
        if (text != nullptr && child.is_string())
            *text = **child.as_string();
        else if (degrees != nullptr && child.is_number())
            *degrees = *child.value<double>();
        else
            reader.mistake(
                child,
                "node.location." + printable(name) +
                    " is not known or of the wrong type; known are texts continent, country, city "
                    "and numbers latitude, longitude");
    }
}

void read_pools(ConfigReader& reader, const char* setting, Config::Storage& storage)
{
    const auto* found = reader.node(setting);
    if (found == nullptr) return;
    const auto* list = found->as_array();
    if (list == nullptr) {
        reader.mistake(*found, "storage.pools must be a list of tables");
        return;
    }
    std::set<std::filesystem::path> paths;
    for (const auto& element : *list) {
        const auto* entry = element.as_table();
        if (entry == nullptr) {
            reader.mistake(element, "storage.pools holds something that is no table");
            continue;
        }
        PoolConfig pool;
        bool has_size = false;
        for (const auto& [key, child] : *entry) {
            const auto name = key.str();
            const auto text = child.value_exact<std::string>();
            if (name == "kind" && text)
                pool.kind = *text;
            else if (name == "path" && text && text->starts_with('/'))
                pool.path = *text;
            else if (name == "class" && text && (*text == "ssd" || *text == "hdd"))
                pool.media = *text;
            else if (name == "size" && text) {
                const auto size = parse_size(*text);
                if (!size)
                    reader.mistake(child, "storage.pools: " + size.error().message);
                else
                    pool.size = *size;
                has_size = true;
            } else if (name == "sparse" && child.is_boolean())
                pool.sparse = **child.as_boolean();
            else if (name == "quota" && text && *text == "enable")
                pool.enable_quota = true;
            else
                reader.mistake(
                    child,
                    "storage.pools: " + printable(name) +
                        " is not known or has a wrong value; known are kind = \"image\" | "
                        "\"directory\" | \"disk\", path (absolute), size, class = \"ssd\" | "
                        "\"hdd\", "
                        "sparse, quota = \"enable\"");
        }
        if (pool.kind != "image" && pool.kind != "directory" && pool.kind != "disk")
            reader.mistake(
                element, "storage.pools: kind must be \"image\", \"directory\" or \"disk\"");
        if (pool.path.empty()) reader.mistake(element, "storage.pools: path is missing");
        if (pool.kind == "image" && !has_size)
            reader.mistake(element, "storage.pools: an image needs a size such as \"20GiB\"");
        if (!pool.path.empty() && !paths.insert(pool.path).second)
            reader.mistake(element, "storage.pools: " + pool.path.string() + " is named twice");
        storage.pools.push_back(std::move(pool));
    }
}

/// The one place where TOML may throw.
Result<toml::table> parse_toml(std::string_view text, const std::string& file_name)
try {
    return toml::parse(text, file_name);
} catch (const toml::parse_error& error) {
    return fail(
        Errc::invalid,
        file_name + ":" + std::to_string(error.source().begin.line) + ": " +
            std::string{error.description()});
}

/// Absolute, with parts that mean what they say, and not the root that everybody is in.
bool is_cgroup_path(std::string_view path)
{
    if (!path.starts_with('/') || path == "/" || path.size() > 1024) return false;
    for (const auto part : split(path.substr(1), '/'))
        if (part.empty() || part == "." || part == ".." || part.find(' ') != part.npos)
            return false;
    return true;
}

std::optional<std::int64_t> farmer_of(std::string_view command_line)
{
    for (const auto word : split(command_line, ' '))
        if (word.starts_with("farmer_id=")) return to_number<std::int64_t>(trim(word.substr(10)));
    return std::nullopt;
}

/// Every setting once, in the order of the file: what reads and what compares goes through here.
template <class Visitor>
void each_section(const Visitor& visit)
{
    visit("node", &Config::node, [](auto in) {
        using Node = Config::Node;
        in.number("farm_id", &Node::farm_id, 1, 0x7fffffff);
        in.text("mode", &Node::mode, {"host", "zero-os"});
        in.path("state_dir", &Node::state_dir);
        in.path("cache_dir", &Node::cache_dir);
        in.path("run_dir", &Node::run_dir);
        in.path("helpers_dir", &Node::helpers_dir);
        in.text("hostname", &Node::hostname);
        in.text("log_level", &Node::log_level, {"debug", "info", "warn", "error"});
        in.location("location");
        in.number("cru", &Node::cru, 1, 65536);
        in.size("mru", &Node::mru);
        in.real("cpu_overcommit", &Node::cpu_overcommit, 1, 100);
        in.size("memory_reserve", &Node::memory_reserve);
    });
    visit("explorer", &Config::explorer, [](auto in) {
        using Explorer = Config::Explorer;
        in.text("url", &Explorer::url);
        in.text("era", &Explorer::era, {"auto", "pools", "reservations"});
        in.text("verify", &Explorer::verify, {"never", "when-possible", "always"});
        in.text("ca_file", &Explorer::ca_file);
    });
    visit("storage", &Config::storage, [](auto in) {
        in.pools("pools");
        in.duration("undelete", &Config::Storage::undelete);
    });
    visit("network", &Config::network, [](auto in) {
        using Network = Config::Network;
        in.text("uplink", &Network::uplink);
        in.text("wireguard", &Network::wireguard, {"auto", "kernel", "userspace"});
        in.number("zdb_port_base", &Network::zdb_port_base, 1, 65000);
        in.flag("fix_forward", &Network::fix_forward);
    });
    visit("flist", &Config::flist, [](auto in) {
        in.text("hub_url", &Config::Flist::hub_url);
        in.size("cache_size", &Config::Flist::cache_size);
    });
    visit("zdb", &Config::zdb, [](auto in) {
        in.text("command", &Config::Zdb::command);
        in.text("user", &Config::Zdb::user);
    });
    visit("containers", &Config::containers, [](auto in) {
        using Containers = Config::Containers;
        in.text("runtime", &Containers::runtime);
        in.text("cgroup", &Containers::cgroup);
        in.flag("init", &Containers::init);
        in.number("pids", &Containers::pids, 2, 4'000'000);
        in.number("first_uid", &Containers::first_uid, 65536, 0xFFF00000);
    });
    visit("logs", &Config::logs, [](auto in) {
        in.size("segment_size", &Config::Logs::segment_size);
        in.number("segments", &Config::Logs::segments, 2, 1000);
    });
    visit("status", &Config::status, [](auto in) {
        in.path("socket", &Config::Status::socket);
        in.text("group", &Config::Status::group);
        in.text("listen", &Config::Status::listen);
    });
}

template <class Section>
struct SectionReading {
    using Words = std::initializer_list<const char*>;
    ConfigReader& reader;
    Section& into;

    void text(const char* key, std::string Section::* member, Words allowed = {})
    {
        reader.text(key, into.*member, allowed);
    }
    void path(const char* key, std::filesystem::path Section::* member)
    {
        reader.path(key, into.*member);
    }
    void number(
        const char* key, std::int64_t Section::* member, std::int64_t least, std::int64_t most)
    {
        reader.number(key, into.*member, least, most);
    }
    void real(const char* key, double Section::* member, double least, double most)
    {
        reader.real(key, into.*member, least, most);
    }
    void flag(const char* key, bool Section::* member) { reader.flag(key, into.*member); }
    template <class Size>
    void size(const char* key, Size Section::* member)
    {
        reader.size(key, into.*member);
    }
    void duration(const char* key, Duration Section::* member)
    {
        reader.duration(key, into.*member);
    }
    void location(const char* key) { read_location(reader, key, into); }
    void pools(const char* key) { read_pools(reader, key, into); }
};

/// Reads each section out of a file.
struct Reading {
    const toml::table& root;
    ConfigReader& reader;
    Config& config;

    template <class Section, class Settings>
    void operator()(const char* name, Section Config::* section, Settings settings) const
    {
        reader.section(root, name);
        settings(SectionReading<Section>{reader, config.*section});
        reader.end_section();
    }
};

template <class Section>
struct SectionComparison {
    using Words = std::initializer_list<const char*>;
    std::string section;
    const Section& before;
    const Section& after;
    std::vector<std::string>& changed;

    template <class Value>
    void compare(const char* key, const Value& a, const Value& b)
    {
        if (a != b) changed.push_back(section + "." + key);
    }
    template <class Value>
    void text(const char* key, Value Section::* member, Words = {})
    {
        compare(key, before.*member, after.*member);
    }
    template <class Value>
    void path(const char* key, Value Section::* member)
    {
        compare(key, before.*member, after.*member);
    }
    template <class Value>
    void number(const char* key, Value Section::* member, std::int64_t, std::int64_t)
    {
        compare(key, before.*member, after.*member);
    }
    template <class Value>
    void real(const char* key, Value Section::* member, double, double)
    {
        compare(key, before.*member, after.*member);
    }
    template <class Value>
    void flag(const char* key, Value Section::* member)
    {
        compare(key, before.*member, after.*member);
    }
    template <class Value>
    void size(const char* key, Value Section::* member)
    {
        compare(key, before.*member, after.*member);
    }
    template <class Value>
    void duration(const char* key, Value Section::* member)
    {
        compare(key, before.*member, after.*member);
    }
    void location(const char* key)
    {
        const auto place = [](const Section& node) {
            return std::tie(node.continent, node.country, node.city, node.latitude, node.longitude);
        };
        compare(key, place(before), place(after));
    }
    void pools(const char* key) { compare(key, before.pools, after.pools); }
};

/// Names what differs between two configs.
struct Comparison {
    const Config& before;
    const Config& after;
    std::vector<std::string>& changed;

    template <class Section, class Settings>
    void operator()(const char* name, Section Config::* section, Settings settings) const
    {
        settings(SectionComparison<Section>{name, before.*section, after.*section, changed});
    }
};

/// What is more than a word of a list or a number within bounds.
void check_texts(ConfigReader& reader, const Config& config)
{
    if (config.containers.cgroup != "auto" && !is_cgroup_path(config.containers.cgroup))
        reader.mistake(
            "containers.cgroup must be \"auto\" or a path below the cgroup mount such as "
            "\"/machine.slice/znode\"");
    if (const auto& listen = config.status.listen; !listen.empty()) {
        const auto where = IpEndpoint::parse(listen);
        if (!where || where->port == 0)
            reader.mistake(
                "status.listen is \"" + printable(listen) +
                "\", must be ADDRESS:PORT such as \"127.0.0.1:9100\" or \"[::1]:9100\"");
    }
}

}  // namespace

Result<Duration> parse_duration(std::string_view text)
{
    const auto whole = trim(text);
    const auto end = whole.find_first_not_of("0123456789");
    const auto number = to_number<std::int64_t>(whole.substr(0, end));
    const auto unit = end == std::string_view::npos ? std::string_view{} : trim(whole.substr(end));
    std::int64_t seconds = 0;
    if (unit == "s") seconds = 1;
    if (unit == "m" || unit == "min") seconds = 60;
    if (unit == "h") seconds = 3600;
    if (unit == "d") seconds = 86400;
    if (!number || *number < 0 || seconds == 0)
        return fail(
            Errc::invalid, "'" + printable(text) + "' is no time; write a number and s, m, h or d");
    // Nanoseconds of 64 bits end after 292 years, and what is beyond them is a time in the past.
    constexpr std::int64_t most_days = 36500;
    if (*number > most_days * 86400 / seconds)
        return fail(
            Errc::invalid,
            "'" + printable(text) + "' is too long; at most " + std::to_string(most_days) + "d");
    return std::chrono::seconds{*number * seconds};
}

Result<Config> parse_config(
    std::string_view text,
    const std::string& file_name,
    const Environment& environment,
    std::string_view kernel_command_line)
{
    TRY(const auto root, parse_toml(text, file_name));

    Config config;
    ConfigReader reader{file_name, environment};

    each_section(Reading{root, reader, config});
    check_texts(reader, config);

    static const std::set<std::string_view> sections{
        "node", "explorer", "storage", "network", "flist", "zdb", "containers", "logs", "status"};
    for (const auto& [key, child] : root)
        if (!sections.contains(key.str()))
            reader.mistake(child, "[" + printable(key.str()) + "] is not a section of this file");

    // What is known and not built yet is refused: a setting that does nothing would be a trap.
    const auto not_yet = [&](bool asked, const char* setting, const char* instead) {
        if (asked)
            reader.mistake(std::string{setting} + " is not supported by this version; " + instead);
    };
    not_yet(config.node.mode == "zero-os", "node.mode = \"zero-os\"", "use \"host\"");
    not_yet(config.network.fix_forward, "network.fix_forward", "leave it away");
    not_yet(!config.containers.init, "containers.init = false", "leave it away");
    for (const auto& pool : config.storage.pools)
        not_yet(
            pool.kind == "disk",
            "storage.pools: kind = \"disk\"",
            "make a btrfs on the disk and use kind = \"directory\"");

    if (config.node.farm_id == 0) {
        if (const auto farm = farmer_of(kernel_command_line); farm && *farm > 0)
            config.node.farm_id = *farm;
        else
            reader.mistake(
                "node.farm_id is missing; write farm_id = N below [node], or boot with "
                "farmer_id=N");
    }
    if (config.explorer.url.empty())
        reader.mistake(
            "explorer.url is missing; write url = \"http://HOST:PORT\" below [explorer]");
    else if (
        !config.explorer.url.starts_with("http://") && !config.explorer.url.starts_with("https://"))
        reader.mistake("explorer.url must begin with http:// or https://");

    if (reader.mistakes().empty()) return config;
    std::string all;
    for (const auto& mistake : reader.mistakes()) all += (all.empty() ? "" : "\n") + mistake;
    return fail(Errc::invalid, std::move(all));
}

std::vector<std::string> changed_keys(const Config& before, const Config& after)
{
    std::vector<std::string> changed;
    each_section(Comparison{before, after, changed});
    return changed;
}

}  // namespace znode::agent
