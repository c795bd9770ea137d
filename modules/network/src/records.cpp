#include "records.hpp"

#include <nlohmann/json.hpp>

#include "kernel/files.hpp"

namespace znode::network {
namespace {

using json = nlohmann::json;

constexpr int version = 1;

IpAddress address_in(const json& value)
{
    const auto address = IpAddress::parse(value.get<std::string>());
    if (!address) throw json::other_error::create(501, "bad address", nullptr);
    return *address;
}
IpNetwork network_in(const json& value)
{
    const auto network = IpNetwork::parse(value.get<std::string>());
    if (!network) throw json::other_error::create(501, "bad network", nullptr);
    return *network;
}

void read(const json& from, NetworkRecord& to)
{
    from.at("node").get_to(to.node_id);
    from.at("gwid").get_to(to.gwid);
    from.at("user").get_to(to.user_id);
    from.at("name").get_to(to.name);
    from.at("network").get_to(to.id);
    to.range = network_in(from.at("range"));
    to.subnet = network_in(from.at("subnet"));
    to.lease = address_in(from.at("lease"));
    from.at("port").get_to(to.port);
}
void read(const json& from, JoinRecord& to)
{
    from.at("node").get_to(to.node_id);
    from.at("gwid").get_to(to.gwid);
    from.at("network").get_to(to.network_id);
    for (const auto& text : from.at("addresses")) to.addresses.push_back(network_in(text));
    from.at("space").get_to(to.space);
}
void read(const json& from, ZdbRecord& to)
{
    from.at("node").get_to(to.node_id);
    from.at("pool").get_to(to.pool_id);
    to.inner = address_in(from.at("inner"));
    from.at("port").get_to(to.port);
}
void read(const json& from, HostRecord& to)
{
    from.at("node").get_to(to.node_id);
    from.at("sysctls").get_to(to.sysctls);
    from.at("links").get_to(to.links);
    from.at("pair").get_to(to.pair);
}
void read(const json& from, LearntRecord& to)
{
    from.at("node").get_to(to.node_id);
    from.at("endpoints").get_to(to.endpoints);
}

Result<> write(const std::filesystem::path& file, json record)
{
    record["version"] = version;
    return kernel::write_file_atomically(
        file, record.dump(-1, ' ', false, json::error_handler_t::replace), 0600);
}

}  // namespace

Result<> save(const std::filesystem::path& file, const NetworkRecord& record)
{
    return write(
        file,
        {{"node", record.node_id},
         {"gwid", record.gwid},
         {"user", record.user_id},
         {"name", record.name},
         {"network", record.id},
         {"range", record.range.text()},
         {"subnet", record.subnet.text()},
         {"lease", record.lease.text()},
         {"port", record.port}});
}

Result<> save(const std::filesystem::path& file, const JoinRecord& record)
{
    auto addresses = json::array();
    for (const auto& address : record.addresses) addresses.push_back(address.text());
    return write(
        file,
        {{"node", record.node_id},
         {"gwid", record.gwid},
         {"network", record.network_id},
         {"addresses", addresses},
         {"space", record.space}});
}

Result<> save(const std::filesystem::path& file, const ZdbRecord& record)
{
    return write(
        file,
        {{"node", record.node_id},
         {"pool", record.pool_id},
         {"inner", record.inner.text()},
         {"port", record.port}});
}

Result<> save(const std::filesystem::path& file, const HostRecord& record)
{
    return write(
        file,
        {{"node", record.node_id},
         {"sysctls", record.sysctls},
         {"links", record.links},
         {"pair", record.pair}});
}

Result<> save(const std::filesystem::path& file, const LearntRecord& record)
{
    return write(file, {{"node", record.node_id}, {"endpoints", record.endpoints}});
}

template <class Record>
Result<Record> load(const std::filesystem::path& file)
try {
    TRY(const auto text, kernel::read_file(file));
    const auto document = json::parse(text);
    if (document.at("version").get<int>() != version)
        return fail(Errc::corrupt, file.string() + " is of another version");
    Record record;
    read(document, record);
    return record;
} catch (const json::exception&) {
    return fail(Errc::corrupt, file.string() + " cannot be read");
}

template <class Record>
std::vector<Record> load_all(const std::filesystem::path& folder, std::string_view ending)
{
    std::vector<Record> found;
    std::error_code failed;
    for (std::filesystem::directory_iterator at{folder, failed}, end; !failed && at != end;
         at.increment(failed)) {
        if (!at->path().filename().native().ends_with(ending)) continue;
        if (auto record = load<Record>(at->path())) found.push_back(*std::move(record));
    }
    return found;
}

template Result<NetworkRecord> load(const std::filesystem::path&);
template Result<JoinRecord> load(const std::filesystem::path&);
template Result<ZdbRecord> load(const std::filesystem::path&);
template Result<HostRecord> load(const std::filesystem::path&);
template Result<LearntRecord> load(const std::filesystem::path&);
template std::vector<NetworkRecord> load_all(const std::filesystem::path&, std::string_view);
template std::vector<JoinRecord> load_all(const std::filesystem::path&, std::string_view);
template std::vector<ZdbRecord> load_all(const std::filesystem::path&, std::string_view);

}  // namespace znode::network
