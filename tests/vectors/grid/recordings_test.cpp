// Answers of a real explorer: read into our documents and written again, they must be the same
// text.

#include <fstream>
#include <functional>
#include <iostream>
#include <regex>

#include <gtest/gtest.h>

#include "base/hex.hpp"
#include "grid/document.hpp"
#include "grid/farm.hpp"
#include "grid/node.hpp"
#include "grid/pool.hpp"
#include "grid/workload.hpp"
#include "identity/identity.hpp"
#include "vectors.hpp"

namespace znode::grid {
namespace {

using test::Json;
using Rewrite = std::function<Result<std::string>(const std::string&)>;

template <class T>
Result<std::string> document(const std::string& body)
{
    TRY(const auto read, from_json<T>(body));
    return to_json(read) + "\n";
}
template <class T>
Result<std::string> list(const std::string& body)
{
    TRY(const auto read, list_from_json<T>(body));
    return list_to_json(read) + "\n";
}

struct Route {
    std::regex path;
    Rewrite rewrite;
};

const std::vector<Route>& routes()
{
    static const std::vector<Route> all = [] {
        const std::string api = "/(?:api/v1|explorer)";
        std::vector<Route> made;
        const auto add = [&](const std::string& path, Rewrite rewrite) {
            made.push_back({std::regex{api + path + "(?:\\?.*)?"}, std::move(rewrite)});
        };
        add("/reservations/(?:nodes/)?workloads/\\d+(?:-\\d+)?", document<Workload>);
        add("/reservations/workloads", list<Workload>);
        add("/reservations/nodes/\\w+/workloads", list<Workload>);
        add("/reservations/pools/\\d+", document<Pool>);
        add("/reservations/pools/owner/\\d+", list<Pool>);
        add("/nodes", list<Node>);
        add("/nodes/\\w+", document<Node>);
        add("/gateways", list<Gateway>);
        add("/gateways/\\w+", document<Gateway>);
        add("/farms", list<Farm>);
        add("/farms/\\d+", document<Farm>);
        add("/users", list<User>);
        add("/users/\\d+", document<User>);
        add("/prices", document<Prices>);
        return made;
    }();
    return all;
}

/// Ours are `{}` for environments, and lists at the top are `[]`.
std::string mended_text(std::string body)
{
    for (const std::string name : {"\"environment\":", "\"secret_environment\":"}) {
        const auto wart = name + "null";
        for (auto at = body.find(wart); at != body.npos; at = body.find(wart))
            body.replace(at, wart.size(), name + "{}");
    }
    return body == "null\n" ? "[]\n" : body;
}

TEST(GridVectors, RecordedAnswersComeBackAsTheyWere)
{
    std::ifstream file{ZNODE_TEST_DATA "/recordings/traffic.jsonl"};
    ASSERT_TRUE(file);
    std::size_t cases = 0;
    for (std::string line; std::getline(file, line);) {
        const auto record = Json::parse(line);
        const auto& request = record.at("request");
        const auto& response = record.at("response");
        if (response.is_null() || response.at("status") != 200 || request.at("method") != "GET")
            continue;
        const auto path = request.at("path").get<std::string>();
        for (const auto& route : routes()) {
            if (!std::regex_match(path, route.path)) continue;
            SCOPED_TRACE(record.at("n").dump() + " " + path);
            ++cases;
            const auto body = response.at("body").get<std::string>();
            const auto again = route.rewrite(body);
            ASSERT_TRUE(again) << again.error().message;
            EXPECT_EQ(*again, mended_text(body));
            break;
        }
    }
    test::report_cases("traffic.jsonl", cases);
}

/// Two members of a node are younger than the recorded one.
std::string older_form(std::string ours, const std::string& theirs)
{
    const std::string younger = R"(,"reserved":false,"dedicated":0)";
    const auto at = ours.find(younger);
    if (at != ours.npos && theirs.find(younger) == theirs.npos) ours.erase(at, younger.size());
    return ours;
}

/// What a real node posted, and its results' signatures.
TEST(GridVectors, RecordedNodeSpeaksInOurDocuments)
{
    const std::string node = "/api/v1/nodes/\\w+";
    const std::vector<Route> posted{
        {std::regex{"/api/v1/nodes"}, document<Node>},
        {std::regex{node + "/interfaces"}, list<Interface>},
        {std::regex{node + "/ports"}, document<PortsReport>},
        {std::regex{node + "/capacity"}, document<CapacityReport>},
        {std::regex{node + "/uptime"}, document<UptimeReport>},
        {std::regex{node + "/used_resources"}, document<UsedReport>},
        {std::regex{"/api/v1/reservations/nodes/(\\w+)/workloads/[-\\d]+"},
         document<WorkloadResult>},
    };
    std::ifstream file{ZNODE_TEST_DATA "/recordings/node-traffic.jsonl"};
    ASSERT_TRUE(file);
    std::size_t cases = 0;
    for (std::string line; std::getline(file, line);) {
        const auto record = Json::parse(line);
        const auto& request = record.at("request");
        const auto path = request.at("path").get<std::string>();
        if (!request.at("body").is_string() || request.at("body").empty()) continue;
        const auto body = request.at("body").get<std::string>();
        // Lines that set the stage were typed by hand, with blanks between the members.
        if (body.find("\": ") != std::string::npos && record.at("group") == "setup") continue;
        for (const auto& route : posted) {
            std::smatch parts;
            if (!std::regex_match(path, parts, route.path)) continue;
            SCOPED_TRACE(record.at("n").dump() + " " + path);
            ++cases;
            const auto again = route.rewrite(body);
            ASSERT_TRUE(again) << again.error().message;
            EXPECT_EQ(older_form(*again, body), body);
            if (parts.size() < 2) break;

            const auto result = from_json<WorkloadResult>(body);
            EXPECT_TRUE(identity::verify_node(
                parts[1].str(),
                result_signing_bytes(*result),
                from_hex(result->signature).value_or("")));
            break;
        }
    }
    test::report_cases("node-traffic.jsonl", cases);
}

}  // namespace
}  // namespace znode::grid
