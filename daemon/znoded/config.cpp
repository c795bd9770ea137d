#include "config.hpp"

#include <algorithm>
#include <set>
#include <tuple>

#include <toml++/toml.h>

#include "base/ip.hpp"
#include "base/text.hpp"

namespace znode::agent {
namespace {

/// Collects mistakes instead of stopping at the first.
class Reader {
public:
    Reader(std::string file, const Environment& environment)
        : file_{std::move(file)}, environment_{environment}
    {
    }

    void section(const toml::table& root, std::string name)
    {
        section_ = std::move(name);
        table_ = nullptr;
        const auto* node = root.get(section_);
        if (node == nullptr) return;
        table_ = node->as_table();
        if (table_ == nullptr) mistake(*node, "must be a table: [" + section_ + "]");
    }

    void text(const char* key, std::string& into, std::initializer_list<const char*> allowed = {})
    {
        const auto given = value<std::string>(key, "a text in quotes");
        if (!given) return;
        if (allowed.size() != 0 &&
            std::ranges::none_of(allowed, [&](auto* a) { return *given == a; })) {
            std::string list;
            for (const auto* word : allowed)
                list += (list.empty() ? "\"" : ", \"") + std::string{word} + "\"";
            mistake_at(key, "is \"" + printable(*given) + "\", must be one of " + list);
            return;
        }
        into = *given;
    }
    void path(const char* key, std::filesystem::path& into)
    {
        const auto given = value<std::string>(key, "a path in quotes");
        if (!given) return;
        if (!given->starts_with('/'))
            mistake_at(key, "must be an absolute path");
        else
            into = std::filesystem::path{*given}.lexically_normal();
    }
    void number(const char* key, std::int64_t& into, std::int64_t least, std::int64_t most)
    {
        const auto given = value<std::int64_t>(key, "a whole number");
        if (!given) return;
        if (*given < least || *given > most)
            mistake_at(
                key, "must lie between " + std::to_string(least) + " and " + std::to_string(most));
        else
            into = *given;
    }
    void real(const char* key, double& into, double least, double most)
    {
        const auto given = value<double>(key, "a number");
        if (!given) return;
        if (!(*given >= least && *given <= most))
            mistake_at(key, "is out of its range");
        else
            into = *given;
    }
    void flag(const char* key, bool& into)
    {
        if (const auto given = value<bool>(key, "true or false")) into = *given;
    }
    template <class Size>
    void size(const char* key, Size& into)
    {
        const auto given = value<std::string>(key, "a size in quotes such as \"20GiB\"");
        if (!given) return;
        const auto bytes = parse_size(*given);
        if (!bytes)
            mistake_at(key, bytes.error().message);
        else
            into = *bytes;
    }
    void duration(const char* key, Duration& into)
    {
        const auto given = value<std::string>(key, "a time in quotes such as \"24h\"");
        if (!given) return;
        const auto time = parse_duration(*given);
        if (!time)
            mistake_at(key, time.error().message);
        else
            into = *time;
    }

    const toml::node* node(const char* key)
    {
        known_.insert(key);
        return table_ == nullptr ? nullptr : table_->get(key);
    }
    const toml::table* table() const { return table_; }

    /// Keys that nobody asked for are mistakes: a misspelt key would silently do nothing.
    void end_section()
    {
        if (table_ != nullptr)
            for (const auto& [key, child] : *table_)
                if (!known_.contains(std::string{key.str()}))
                    mistake(
                        child,
                        section_ + "." + printable(key.str()) +
                            " is not known; known are: " + list_known());
        known_.clear();
    }

    void mistake(const toml::node& at, const std::string& text)
    {
        mistakes_.push_back(file_ + ":" + std::to_string(at.source().begin.line) + ": " + text);
    }
    void mistake(const std::string& text) { mistakes_.push_back(file_ + ": " + text); }
    const std::vector<std::string>& mistakes() const { return mistakes_; }

private:
    template <class T>
    std::optional<T> value(const char* key, const char* expected)
    {
        known_.insert(key);
        const auto variable = variable_of(key);
        if (auto given = environment_(variable)) {
            if constexpr (std::is_same_v<T, std::string>)
                return given;
            else if constexpr (std::is_same_v<T, bool>) {
                if (*given == "true" || *given == "1") return true;
                if (*given == "false" || *given == "0") return false;
            } else if (auto number = to_number<T>(*given)) {
                return number;
            }
            mistakes_.push_back("environment: " + variable + " must be " + expected);
            return std::nullopt;
        }
        const auto* found = table_ == nullptr ? nullptr : table_->get(key);
        if (found == nullptr) return std::nullopt;
        std::optional<T> read;
        if constexpr (std::is_same_v<T, double>)
            read = found->value<double>();
        else
            read = found->value_exact<T>();
        if (!read) mistake_at(key, std::string{"must be "} + expected);
        return read;
    }
    void mistake_at(const char* key, const std::string& text)
    {
        const auto whole = section_ + "." + key + " " + text;
        const auto* found = table_ == nullptr ? nullptr : table_->get(key);
        if (found != nullptr && !environment_(variable_of(key)))
            mistake(*found, whole);
        else
            mistakes_.push_back("environment: " + whole);
    }
    std::string variable_of(const char* key) const
    {
        std::string name = "ZNODE_" + section_ + "_" + key;
        for (char& c : name)
            if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
        return name;
    }
    std::string list_known() const
    {
        std::string list;
        for (const auto& key : known_) list += (list.empty() ? "" : ", ") + key;
        return list;
    }

    std::string file_;
    const Environment& environment_;
    std::string section_;
    const toml::table* table_ = nullptr;
    std::set<std::string> known_;
    std::vector<std::string> mistakes_;
};

void read_location(Reader& reader, Config::Node& node)
{
    const auto* found = reader.node("location");
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

void read_pools(Reader& reader, Config::Storage& storage)
{
    const auto* found = reader.node("pools");
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
    Reader reader{file_name, environment};

    reader.section(root, "node");
    reader.number("farm_id", config.node.farm_id, 1, 0x7fffffff);
    reader.text("mode", config.node.mode, {"host", "zero-os"});
    reader.path("state_dir", config.node.state_dir);
    reader.path("cache_dir", config.node.cache_dir);
    reader.path("run_dir", config.node.run_dir);
    reader.path("helpers_dir", config.node.helpers_dir);
    reader.text("hostname", config.node.hostname);
    reader.text("log_level", config.node.log_level, {"debug", "info", "warn", "error"});
    read_location(reader, config.node);
    reader.number("cru", config.node.cru, 1, 65536);
    reader.size("mru", config.node.mru);
    reader.real("cpu_overcommit", config.node.cpu_overcommit, 1, 100);
    reader.size("memory_reserve", config.node.memory_reserve);
    reader.end_section();

    reader.section(root, "explorer");
    reader.text("url", config.explorer.url);
    reader.text("era", config.explorer.era, {"auto", "pools", "reservations"});
    reader.text("verify", config.explorer.verify, {"never", "when-possible", "always"});
    reader.text("ca_file", config.explorer.ca_file);
    reader.end_section();

    reader.section(root, "storage");
    read_pools(reader, config.storage);
    reader.duration("undelete", config.storage.undelete);
    reader.end_section();

    reader.section(root, "network");
    reader.text("uplink", config.network.uplink);
    reader.text("wireguard", config.network.wireguard, {"auto", "kernel", "userspace"});
    reader.number("zdb_port_base", config.network.zdb_port_base, 1, 65000);
    reader.flag("fix_forward", config.network.fix_forward);
    reader.end_section();

    reader.section(root, "flist");
    reader.text("hub_url", config.flist.hub_url);
    reader.size("cache_size", config.flist.cache_size);
    reader.end_section();

    reader.section(root, "zdb");
    reader.text("command", config.zdb.command);
    reader.text("user", config.zdb.user);
    reader.end_section();

    reader.section(root, "containers");
    reader.text("runtime", config.containers.runtime);
    reader.text("cgroup", config.containers.cgroup);
    if (config.containers.cgroup != "auto" && !is_cgroup_path(config.containers.cgroup))
        reader.mistake(
            "containers.cgroup must be \"auto\" or a path below the cgroup mount such as "
            "\"/machine.slice/znode\"");
    reader.flag("init", config.containers.init);
    reader.number("pids", config.containers.pids, 2, 4'000'000);
    reader.number("first_uid", config.containers.first_uid, 65536, 0xFFF00000);
    reader.end_section();

    reader.section(root, "logs");
    reader.size("segment_size", config.logs.segment_size);
    reader.number("segments", config.logs.segments, 2, 1000);
    reader.end_section();

    reader.section(root, "status");
    reader.path("socket", config.status.socket);
    reader.text("group", config.status.group);
    reader.text("listen", config.status.listen);
    if (const auto& listen = config.status.listen; !listen.empty()) {
        const auto where = IpEndpoint::parse(listen);
        if (!where || where->port == 0)
            reader.mistake(
                "status.listen is \"" + printable(listen) +
                "\", must be ADDRESS:PORT such as \"127.0.0.1:9100\" or \"[::1]:9100\"");
    }
    reader.end_section();

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
    std::string section;
    const auto compare = [&](const char* key, const auto& a, const auto& b) {
        if (a != b) changed.push_back(section + "." + key);
    };
    {
        section = "node";
        const auto& a = before.node;
        const auto& b = after.node;
        compare("farm_id", a.farm_id, b.farm_id);
        compare("mode", a.mode, b.mode);
        compare("state_dir", a.state_dir, b.state_dir);
        compare("cache_dir", a.cache_dir, b.cache_dir);
        compare("run_dir", a.run_dir, b.run_dir);
        compare("helpers_dir", a.helpers_dir, b.helpers_dir);
        compare("hostname", a.hostname, b.hostname);
        compare("log_level", a.log_level, b.log_level);
        const auto place = [](const Config::Node& node) {
            return std::tie(node.continent, node.country, node.city, node.latitude, node.longitude);
        };
        compare("location", place(a), place(b));
        compare("cru", a.cru, b.cru);
        compare("mru", a.mru, b.mru);
        compare("cpu_overcommit", a.cpu_overcommit, b.cpu_overcommit);
        compare("memory_reserve", a.memory_reserve, b.memory_reserve);
    }
    section = "explorer";
    compare("url", before.explorer.url, after.explorer.url);
    compare("era", before.explorer.era, after.explorer.era);
    compare("verify", before.explorer.verify, after.explorer.verify);
    compare("ca_file", before.explorer.ca_file, after.explorer.ca_file);
    section = "storage";
    compare("pools", before.storage.pools, after.storage.pools);
    compare("undelete", before.storage.undelete, after.storage.undelete);
    section = "network";
    compare("uplink", before.network.uplink, after.network.uplink);
    compare("wireguard", before.network.wireguard, after.network.wireguard);
    compare("zdb_port_base", before.network.zdb_port_base, after.network.zdb_port_base);
    compare("fix_forward", before.network.fix_forward, after.network.fix_forward);
    section = "flist";
    compare("hub_url", before.flist.hub_url, after.flist.hub_url);
    compare("cache_size", before.flist.cache_size, after.flist.cache_size);
    section = "zdb";
    compare("command", before.zdb.command, after.zdb.command);
    compare("user", before.zdb.user, after.zdb.user);
    section = "containers";
    compare("runtime", before.containers.runtime, after.containers.runtime);
    compare("cgroup", before.containers.cgroup, after.containers.cgroup);
    compare("init", before.containers.init, after.containers.init);
    compare("pids", before.containers.pids, after.containers.pids);
    compare("first_uid", before.containers.first_uid, after.containers.first_uid);
    section = "logs";
    compare("segment_size", before.logs.segment_size, after.logs.segment_size);
    compare("segments", before.logs.segments, after.logs.segments);
    section = "status";
    compare("socket", before.status.socket, after.status.socket);
    compare("group", before.status.group, after.status.group);
    compare("listen", before.status.listen, after.status.listen);
    return changed;
}

}  // namespace znode::agent
