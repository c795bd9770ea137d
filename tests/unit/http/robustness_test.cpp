// What strangers may send: the server answers or closes, and goes on serving others.
#include <array>
#include <random>

#include "fixture.hpp"

namespace znode::http {
namespace {

class RobustnessTest : public HttpTest {
protected:
    /// Sends the pieces, then reads until the server closes (or `patience` is over).
    static Task<std::string> raw(
        Endpoint to, std::vector<std::string> pieces, Duration pause, Duration patience)
    {
        auto stream = co_await connect(to, 1s);
        if (!stream) co_return "error: " + stream.error().message;
        for (const auto& piece : pieces) {
            if (!co_await (*stream)->write(asio::buffer(piece))) break;
            if (pause > 0s) co_await sleep_for(pause);
        }
        std::string answer;
        (void)co_await run_until(sleep_for(patience), read_all(stream->get(), &answer));
        (*stream)->close();
        co_return answer;
    }
    static Task<bool> read_all(Stream* stream, std::string* into)
    {
        std::array<char, 4096> buffer;
        for (;;) {
            const auto got = co_await stream->read_some(asio::buffer(buffer));
            if (!got || *got == 0) co_return true;
            into->append(buffer.data(), *got);
        }
    }
    /// Asks, then takes its time with the answer; how much of it came.
    static Task<std::size_t> read_slowly(Endpoint from, std::string request, Duration pause)
    {
        std::size_t came = 0;
        auto stream = co_await connect(from, 1s);
        if (!stream) co_return came;
        (void)co_await (*stream)->write(asio::buffer(request));
        std::vector<char> buffer(std::size_t{256} << 10U);
        for (;;) {
            const auto got = co_await (*stream)->read_some(asio::buffer(buffer));
            if (!got || *got == 0) co_return came;
            came += *got;
            co_await sleep_for(pause);
        }
    }
    std::string send_raw(std::vector<std::string> pieces, Duration pause = 0s)
    {
        start();
        return drive(raw(where, std::move(pieces), pause, 2s));
    }
    static std::string status_of(const std::string& answer) { return answer.substr(9, 3); }
};

TEST_F(RobustnessTest, GarbageIsA400)
{
    EXPECT_EQ(status_of(send_raw({"\x16\x03\x01 this is no HTTP\r\n\r\n"})), "400");
}

TEST_F(RobustnessTest, RequestInSingleBytesIsUnderstood)
{
    std::vector<std::string> bytes;
    for (const char c : std::string_view{
             "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"})
        bytes.emplace_back(1, c);
    const auto answer = send_raw(bytes);
    EXPECT_TRUE(answer.ends_with("POST /x hello")) << answer;
}

TEST_F(RobustnessTest, PipelinedRequestsAreAnsweredInOrder)
{
    const auto answer =
        send_raw({"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nConnection: "
                  "close\r\n\r\n"});
    const auto first = answer.find("GET /1");
    const auto second = answer.find("GET /2");
    EXPECT_NE(first, std::string::npos);
    EXPECT_NE(second, std::string::npos);
    EXPECT_LT(first, second);
}

TEST_F(RobustnessTest, HeaderBeyondTheLimitIsA431)
{
    limits.header = 1024;
    const auto answer = send_raw({"GET / HTTP/1.1\r\nX: " + std::string(4000, 'a') + "\r\n\r\n"});
    EXPECT_EQ(status_of(answer), "431") << answer;
}

TEST_F(RobustnessTest, BodyBeyondTheLimitIsA413BeforeItIsSent)
{
    limits.body = 1000;
    const auto answer = send_raw({"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 999999\r\n\r\n"});
    EXPECT_EQ(status_of(answer), "413") << answer;
}

TEST_F(RobustnessTest, AHeadThatIsRefusedHasNoBodyRead)
{
    check = [](const Request& head, const Peer&) -> Task<std::optional<Reply>> {
        if (head.headers.get("X-Key") == "good") co_return std::nullopt;
        co_return Reply{.status = 401, .body = "who are you?\n"};
    };
    const auto head = [](const std::string& key) {
        return "POST /c HTTP/1.1\r\nHost: a\r\nX-Key: " + key +
               "\r\nContent-Length: 2\r\nConnection: close\r\n\r\n";
    };
    const auto refused = send_raw({head("bad")});
    EXPECT_EQ(status_of(refused), "401") << refused;
    EXPECT_TRUE(refused.ends_with("who are you?\n")) << refused;
    EXPECT_TRUE(send_raw({head("good"), "ok"}, 5ms).ends_with("POST /c ok"));
    EXPECT_TRUE(send_raw({head("bad") + "ok"}).ends_with("POST /c ok")) << "the handler's to say";
}

TEST_F(RobustnessTest, ChunkedBodyBeyondTheLimitIsA413)
{
    limits.body = 10;
    const auto answer = send_raw(
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
         "14\r\n01234567890123456789\r\n0\r\n\r\n"});
    EXPECT_EQ(status_of(answer), "413") << answer;
}

TEST_F(RobustnessTest, SomeRequestsHaveASmallerLimit)
{
    limits.body_of = [](const Request& head) -> std::uint64_t {
        return head.target == "/small" ? 10 : 100;
    };
    const auto head = [](const std::string& target, const std::string& body) {
        return "POST " + target + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + body;
    };
    const auto announced = std::string{"Content-Length: 20\r\n\r\n01234567890123456789"};
    const auto chunked =
        std::string{"Transfer-Encoding: chunked\r\n\r\n14\r\n01234567890123456789\r\n0\r\n\r\n"};
    for (const auto& body : {announced, chunked}) {
        EXPECT_EQ(status_of(send_raw({head("/small", body)})), "413");
        EXPECT_EQ(status_of(send_raw({head("/large", body)})), "200");
    }
}

TEST_F(RobustnessTest, ALongBodyMayTakeLongAsLongAsItComes)
{
    limits.body_time = 3s;
    std::vector<std::string> pieces{
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3145728\r\n\r\n"};
    for (int i = 0; i < 6; ++i) pieces.emplace_back(std::size_t{512} << 10U, 'x');
    EXPECT_EQ(status_of(send_raw(pieces, 600ms)), "200") << "longer than one MiB may take";
}

TEST_F(RobustnessTest, AWholeAnswerHasADeadlineToo)
{
    limits.write_time = 50ms;
    limits.write_more = 0ms;
    start();
    const std::size_t size = std::size_t{3} << 20U;
    const auto request = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: " +
                         std::to_string(size) + "\r\n\r\n" + std::string(size, 'x');
    EXPECT_LT(drive(read_slowly(where, request, 10ms)), size) << "each piece would be in time";
}

TEST_F(RobustnessTest, TwoLengthsAreRefused)
{
    const auto answer = send_raw(
        {"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"});
    EXPECT_EQ(status_of(answer), "400") << answer;
}

TEST_F(RobustnessTest, SlowHeaderIsToldSoAndCutOff)
{
    limits.header_time = 20ms;
    const auto answer = send_raw({"GET / HT"});
    EXPECT_EQ(status_of(answer), "408") << answer;
}

TEST_F(RobustnessTest, SlowBodyIsToldSoAndCutOff)
{
    limits.body_time = 20ms;
    const auto answer = send_raw({"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n123"});
    EXPECT_EQ(status_of(answer), "408") << answer;
    EXPECT_NE(answer.find("Connection: close"), std::string::npos) << answer;
}

TEST_F(RobustnessTest, SilentConnectionIsCutOff)
{
    limits.idle = 20ms;
    EXPECT_EQ(send_raw({}), "");
}

TEST_F(RobustnessTest, ContinueIsSentWhenAskedFor)
{
    const auto answer = send_raw(
        {"POST /c HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: "
         "close\r\n\r\n",
         "ok"},
        5ms);
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200")) << answer;
    EXPECT_TRUE(answer.ends_with("POST /c ok")) << answer;
}

TEST_F(RobustnessTest, OldClientsGetAStreamWithoutChunks)
{
    const auto answer = send_raw({"GET /stream HTTP/1.0\r\n\r\n"});
    EXPECT_TRUE(answer.ends_with("\r\n\r\n{\"line\":0}\n{\"line\":1}\n{\"line\":2}\n")) << answer;
}

TEST_F(RobustnessTest, TooManyConnectionsAreClosed)
{
    limits.connections = 1;
    start();
    const auto talk = [](Endpoint to) -> Task<std::string> {
        auto first = co_await connect(to, 1s);
        if (!first) co_return "error";
        co_return co_await raw(to, {"GET / HTTP/1.1\r\n\r\n"}, 0s, 1s);
    };
    EXPECT_EQ(drive(talk(where)), "");
}

TEST_F(RobustnessTest, ThousandGarbledRequestsHarmNobody)
{
    limits.header_time = 5ms;
    limits.body_time = 5ms;
    start();
    const auto storm = [](Endpoint to) -> Task<std::string> {
        std::mt19937 dice{20210429};
        const std::string good =
            "POST /x?y=1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
            "chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
        for (int round = 0; round < 1000; ++round) {
            auto text = good.substr(0, 1 + dice() % good.size());
            for (unsigned i = dice() % 4; i > 0; --i)
                text[dice() % text.size()] = static_cast<char>(dice() % 256);
            auto stream = co_await connect(to, 1s);
            if (!stream) co_return "error: " + stream.error().message;
            (void)co_await (*stream)->write(asio::buffer(text));
        }
        co_return co_await raw(
            to, {"GET /after HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"}, 0s, 1s);
    };
    const auto answer = drive(storm(where));
    EXPECT_TRUE(answer.ends_with("GET /after ")) << answer;
}

}  // namespace
}  // namespace znode::http
