#include <functional>
#include <map>

#include <gtest/gtest.h>

#include "grid/challenge.hpp"
#include "grid/document.hpp"
#include "grid/farm.hpp"
#include "grid/legacy.hpp"
#include "grid/node.hpp"
#include "grid/pool.hpp"
#include "grid/workload.hpp"
#include "mended.hpp"
#include "vectors.hpp"

namespace znode::grid {
namespace {

using test::Json;

std::string text(const Json& object, const char* member)
{
    return object.at(member).get<std::string>();
}

template <class T>
void expect_same_when_rewritten(const Json& document)
{
    const auto read = from_json<T>(document.dump());
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(Json::parse(to_json(*read)), document);
}

template <class T>
std::string zero()
{
    return to_json(T{});
}
template <class T>
std::string zero_workload()
{
    Workload workload;
    workload.data = T{};
    return to_json(workload);
}

/// Reads `json` as a date, in the member of a document that has one.
void check_date(const Json& c)
{
    test::expect_known_members(c, {"encodes_back_as", "error", "json", "name", "note", "unix"});
    const auto read = from_json<SigningSignature>("{\"epoch\":" + text(c, "json") + "}");
    EXPECT_EQ(read.has_value(), text(c, "error").empty());
    const auto date = read ? read->epoch : Date{};
    EXPECT_EQ(date.unix, c.at("unix").get<std::int64_t>());
    SigningSignature written;
    written.epoch = date;
    EXPECT_EQ(
        to_json(written), R"({"tid":0,"signature":"","epoch":)" + text(c, "encodes_back_as") + "}");
}

void check_range(const Json& c)
{
    test::expect_known_members(
        c, {"encodes_back_as", "error", "json", "name", "note", "string_in_challenge"});
    const auto read = from_json<Workload>(
        R"({"workload_type":11,"epoch":5,"ipaddress":)" + text(c, "json") + "}");
    EXPECT_EQ(read.has_value(), text(c, "error").empty());
    if (!read) EXPECT_NE(read.error().message.find(text(c, "error")), std::string::npos);

    Workload workload;
    workload.workload_type = WorkloadType::public_ip;
    workload.data = PublicIp{};
    workload.epoch = {5};
    if (read) workload = *read;
    EXPECT_EQ(challenge(workload), "000PUBLIC_IP5" + text(c, "string_in_challenge"));
    EXPECT_TRUE(to_json(workload).ends_with("\"ipaddress\":" + text(c, "encodes_back_as") + "}"));
}

/// A reservation as explorers of the first era wrote it; later ones had two lists more, and another
/// name for one.
Json in_old_words(const Json& document)
{
    if (!document.contains("data_reservation")) return document;
    auto old = document;
    Json data;
    for (const auto& [name, value] : document.at("data_reservation").items())
        if (name != "network_resource" && name != "public_ips")
            data[name == "reverse_proxies" ? "reserve_proxies" : name] = value;
    old["data_reservation"] = data;
    return old;
}

void check_zero(const std::string& name, const Json& expected)
{
    static const std::map<std::string, std::function<std::string()>> made{
        {"container", zero_workload<Container>},
        {"domain_delegate", zero_workload<DomainDelegate>},
        {"farm", zero<Farm>},
        {"gateway", zero<Gateway>},
        {"gateway4to6", zero_workload<Gateway4To6>},
        {"kubernetes", zero_workload<Kubernetes>},
        {"network_resource", zero_workload<NetworkResource>},
        {"node", zero<Node>},
        {"pool", zero<Pool>},
        {"proxy", zero_workload<Proxy>},
        {"public_ip", zero_workload<PublicIp>},
        {"reservation", zero<legacy::Reservation>},
        {"result", zero<WorkloadResult>},
        {"reverse_proxy", zero_workload<ReverseProxy>},
        {"subdomain", zero_workload<Subdomain>},
        {"user", zero<User>},
        {"volume", zero_workload<Volume>},
        {"zdb", zero_workload<Zdb>},
    };
    const auto make = made.find(name);
    ASSERT_NE(make, made.end()) << "unknown document type " << name;
    EXPECT_EQ(make->second(), test::mended(in_old_words(expected)).dump());
}

TEST(GridVectors, Documents)
{
    std::size_t cases = 0;
    const auto file = test::vectors("documents.json");
    for (const auto& [group, content] : file.items()) {
        SCOPED_TRACE(group);
        if (group == "note") continue;
        if (group == "dates" || group == "ip_ranges") {
            for (const auto& c : content) {
                SCOPED_TRACE(c.dump());
                ++cases;
                group == "dates" ? check_date(c) : check_range(c);
            }
        } else if (group == "zero") {
            for (const auto& [name, document] : content.items()) {
                SCOPED_TRACE(name);
                ++cases;
                check_zero(name, document);
            }
        } else if (group == "farm_example") {
            ++cases;
            expect_same_when_rewritten<Farm>(content);
        } else if (group == "node_example" || group == "node_register_request") {
            ++cases;
            expect_same_when_rewritten<Node>(content);
        } else {
            ADD_FAILURE() << "unknown group";
        }
    }
    test::report_cases("documents.json", cases);
}

}  // namespace
}  // namespace znode::grid
