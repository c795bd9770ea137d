// What the original's check of signatures answered, asked of our server.

#include <gtest/gtest.h>

#include "small_grid.hpp"
#include "vectors.hpp"

namespace znode::explorer_server {
namespace {

using test::Json;

constexpr auto unknown_path = "/api/v1/no/such/path";

/// Content types of ours that differ on purpose, by status. The original wrote its refusals of
/// signatures as text/plain although they are JSON, which clients then did not read.
const std::map<unsigned, std::string> own_content_types{{401, "application/json"}};

/// The node's uptime as the file's first case has signed it, changed as this case says.
http::Request request_of(const Json& c, const Json& signed_request)
{
    const auto text = [](const Json& object, const char* member) {
        return object.at(member).get<std::string>();
    };
    const auto name = text(c, "name");
    const auto url = text(signed_request, "url");
    http::Request request{
        .method = http::Method::post,
        .target = url.substr(url.find("/api/v1")),
        .body = text(signed_request, "body")};
    for (const auto& [header, value] : signed_request.at("headers").items())
        request.headers.set(header, value.get<std::string>());
    if (const auto authorization = text(c, "authorization"); !authorization.empty())
        request.headers.set("Authorization", authorization);

    if (name == "threebot-id changed after signing") request.headers.set("Threebot-Id", "7");
    if (name == "wrong method") request.method = http::Method::get;
    if (name == "unknown path") request.target = unknown_path;
    return request;
}

TEST(SignatureVectors, ServerBehaviour)
{
    const auto file = test::vectors("http_signature.json");
    const auto& uptime = file.at("cases").at(0);
    ASSERT_EQ(uptime.at("name"), "node uptime");
    test::SmallGrid grid;
    grid.fill();
    ASSERT_EQ(uptime.at("key_id"), grid.node.key_id);
    // The original took a signature of any age; ours does within its window.
    const auto created = uptime.at("created").get<std::int64_t>();
    grid.now = created;

    for (const auto& c : file.at("server_behaviour")) {
        test::expect_known_members(
            c,
            {"authorization",
             "body",
             "content_type",
             "name",
             "note",
             "status",
             "www_authenticate"});
        SCOPED_TRACE(c.at("name").get<std::string>());

        const auto reply = grid.send(request_of(c, uptime));

        EXPECT_EQ(reply.status, c.at("status").get<unsigned>());
        EXPECT_EQ(reply.body, c.at("body").get<std::string>());
        EXPECT_EQ(
            reply.headers.get("Www-Authenticate"), c.at("www_authenticate").get<std::string>());
        const auto own = own_content_types.find(reply.status);
        EXPECT_EQ(
            reply.headers.get("Content-Type"),
            own != own_content_types.end() ? own->second : c.at("content_type").get<std::string>());
    }

    // Deliberate, and the only other difference.
    grid.now = created + 86'400;
    EXPECT_EQ(grid.send(request_of(file.at("server_behaviour").at(0), uptime)).status, 401U);
    test::report_cases("http_signature.json (server)", file.at("server_behaviour").size());
}

}  // namespace
}  // namespace znode::explorer_server
