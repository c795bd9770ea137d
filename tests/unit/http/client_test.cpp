#include "http/client.hpp"

#include "fixture.hpp"
#include "kernel/files.hpp"

namespace znode::http {
namespace {

class ClientTest : public HttpTest {
protected:
    static Task<std::string> ask(Client* client, Request request)
    {
        const auto reply = co_await client->send(std::move(request));
        if (!reply) co_return "error: " + reply.error().message;
        co_return std::to_string(reply->status) + " " + reply->body;
    }
    std::unique_ptr<Client> client(ClientOptions options = {})
    {
        return make_client(loop, where, std::move(options));
    }
};

TEST_F(ClientTest, SendsMethodTargetAndBodyAndKeepsTheConnection)
{
    start();
    const auto http = client();
    const auto talk = [](Client* c, Server* s) -> Task<std::vector<std::string>> {
        std::vector<std::string> answers;
        Request post{.method = Method::post, .target = "/a?b=1", .body = "hello"};
        answers.push_back(co_await ask(c, post));
        Request del{.method = Method::del, .target = "/x"};
        answers.push_back(co_await ask(c, del));
        answers.push_back(std::to_string(s->counters().connections));
        co_return answers;
    };
    const auto answers = drive(talk(http.get(), server.get()));
    EXPECT_EQ(answers, (std::vector<std::string>{"200 POST /a?b=1 hello", "200 DELETE /x ", "1"}));
}

TEST_F(ClientTest, LargeBodiesGoBothWays)
{
    start();
    const auto http = client();
    const std::string large(3'000'000, 'x');
    const auto answer =
        drive(ask(http.get(), {.method = Method::put, .target = "/", .body = large}));
    EXPECT_EQ(answer, "200 PUT / " + large);
}

TEST_F(ClientTest, AnswerBeyondTheLimitIsExhausted)
{
    start();
    const auto http = client({.body_limit = 100});
    const auto answer = drive(
        ask(http.get(), {.method = Method::put, .target = "/", .body = std::string(200, 'x')}));
    EXPECT_NE(answer.find("body limit"), std::string::npos) << answer;
}

TEST_F(ClientTest, StreamedAnswersArriveWhole)
{
    start();
    const auto http = client();
    EXPECT_EQ(
        drive(ask(http.get(), {.target = "/stream"})),
        "200 {\"line\":0}\n{\"line\":1}\n{\"line\":2}\n");
}

TEST_F(ClientTest, HeadHasNoBody)
{
    start();
    const auto http = client();
    EXPECT_EQ(drive(ask(http.get(), {.method = Method::head, .target = "/a"})), "200 ");
}

TEST_F(ClientTest, RedirectsAreFollowedOnlyWhenAskedFor)
{
    start();
    const auto plain = client();
    const auto following = client({.redirects = 3});
    const auto both = [](Client* a, Client* b) -> Task<std::string> {
        auto first = co_await ask(a, {.target = "/moved"});
        first += "| " + co_await ask(b, {.target = "/moved"});
        co_return first;
    };
    EXPECT_EQ(drive(both(plain.get(), following.get())), "302 | 200 GET /there ");
}

TEST_F(ClientTest, DeadlineCoversTheWholeRequest)
{
    start();
    const auto http = client({.timeout = 20ms});
    const auto answer = drive(ask(http.get(), {.target = "/slow"}));
    EXPECT_NE(answer.find("not done after 20 ms"), std::string::npos) << answer;
}

TEST_F(ClientTest, DeadIdleConnectionIsReplacedOnceForWhatMayBeRepeated)
{
    // A new connection must not be cut before its first request, also on a busy machine.
    limits.idle = 300ms;
    start();
    const auto http = client();
    const auto talk = [](Client* c, Server* s) -> Task<std::vector<std::string>> {
        std::vector<std::string> answers;
        Request get{.target = "/a"};
        Request post{.method = Method::post, .target = "/b"};
        answers.push_back(co_await ask(c, get));
        while (s->counters().connections > 0) co_await sleep_for(1ms);
        answers.push_back(co_await ask(c, get));
        while (s->counters().connections > 0) co_await sleep_for(1ms);
        answers.push_back((co_await ask(c, post)).substr(0, 5));
        co_return answers;
    };
    EXPECT_EQ(
        drive(talk(http.get(), server.get())),
        (std::vector<std::string>{"200 GET /a ", "200 GET /a ", "error"}));
}

TEST_F(ClientTest, UnsendableTargetIsRefused)
{
    start();
    const auto http = client();
    const auto answer = drive(ask(http.get(), {.target = "/a b\r\nX: y"}));
    EXPECT_NE(answer.find("must be escaped"), std::string::npos) << answer;
}

TEST_F(ClientTest, DownloadWritesTheFileAndShowsEachPiece)
{
    start();
    const auto http = client();
    std::string seen;
    DownloadSpec spec{.path = folder.path() / "file"};
    spec.observe = [&seen](std::string_view piece) { seen += piece; };
    const auto size = drive(download(http.get(), {.target = "/stream"}, spec));
    ASSERT_TRUE(size) << size.error().message;
    EXPECT_EQ(*size, 33U);
    EXPECT_EQ(kernel::read_file(spec.path).value(), seen);
}

TEST_F(ClientTest, DownloadBeyondItsLimitLeavesNoFile)
{
    start();
    const auto http = client();
    const DownloadSpec spec{.path = folder.path() / "file", .limit = 20};
    const auto size = drive(download(http.get(), {.target = "/stream"}, spec));
    ASSERT_FALSE(size);
    EXPECT_EQ(size.error().code, Errc::exhausted);
    EXPECT_FALSE(std::filesystem::exists(spec.path));
}

TEST_F(ClientTest, StopCutsAnEndlessStreamAfterTheGrace)
{
    start();
    const auto http = client();
    const auto talk = [](Client* c, Server* s, asio::io_context* l) -> Task<std::string> {
        TaskGroup group{*l};
        std::string outcome;
        group.spawn([](Client* cc, std::string* out) -> Task<> {
            *out = co_await ask(cc, {.target = "/endless"});
        }(c, &outcome));
        while (s->counters().requests == 0) co_await sleep_for(1ms);
        co_await s->stop(5ms);
        while (outcome.empty()) co_await sleep_for(1ms);
        co_await group.drain();
        co_return outcome;
    };
    const auto outcome = run(loop, talk(http.get(), server.get(), &loop));
    EXPECT_TRUE(outcome.starts_with("error")) << outcome;
}

}  // namespace
}  // namespace znode::http
