#include "zdb/client.hpp"

#include <array>

#include <boost/asio/buffer.hpp>

#include "base/secret.hpp"
#include "base/text.hpp"

namespace znode::zdb {
namespace {

constexpr int depth_limit = 8;
constexpr std::size_t bulk_limit = std::size_t{64} << 20U;
constexpr std::size_t element_limit = std::size_t{1} << 20U;

void encode(std::string& to, const Words& words)
{
    to += "*" + std::to_string(words.size()) + "\r\n";
    for (const auto& word : words) {
        to += "$" + std::to_string(word.size()) + "\r\n";
        to += word;
        to += "\r\n";
    }
}

class StreamClient final : public Client {
public:
    StreamClient(std::unique_ptr<Stream> stream, Duration patience)
        : stream_{std::move(stream)}, patience_{patience}
    {
    }

    Task<Result<Reply>> call(Words request) override
    {
        std::vector<Words> one;
        one.push_back(std::move(request));
        CO_TRY(auto replies, co_await pipeline(std::move(one)));
        co_return std::move(replies.front());
    }

    Task<Result<std::vector<Reply>>> pipeline(std::vector<Words> requests) override
    {
        std::string intent = requests.empty() ? "0-db" : "0-db " + requests.front().front();
        auto done =
            co_await with_deadline(patience_, std::move(intent), converse(std::move(requests)));
        if (!done) stream_->close();
        co_return done;
    }

    Result<PeerCredentials> peer() const override { return peer_credentials(*stream_); }

private:
    Task<Result<std::vector<Reply>>> converse(std::vector<Words> requests)
    {
        std::string bytes;
        for (const auto& request : requests) encode(bytes, request);
        auto sent = co_await stream_->write(asio::buffer(bytes));
        wipe(bytes);  // There may be a password in it.
        CO_TRY_DO(std::move(sent));
        std::vector<Reply> replies;
        for (std::size_t i = 0; i < requests.size(); ++i) {
            CO_TRY(auto reply, co_await take_reply(0));
            replies.push_back(std::move(reply));
        }
        co_return replies;
    }

    Task<Result<>> fill()
    {
        std::array<char, 16384> piece;
        CO_TRY(const auto got, co_await stream_->read_some(asio::buffer(piece)));
        if (got == 0) co_return fail(Errc::unavailable, "0-db closed the connection");
        received_.append(piece.data(), got);
        co_return Result<>{};
    }

    Task<Result<std::string>> take_line()
    {
        for (;;) {
            const auto end = received_.find("\r\n");
            if (end != std::string::npos) {
                std::string line = received_.substr(0, end);
                received_.erase(0, end + 2);
                co_return line;
            }
            if (received_.size() > 65536)
                co_return fail(Errc::unavailable, "0-db answers what is no reply");
            CO_TRY_DO(co_await fill());
        }
    }

    Task<Result<Reply>> take_reply(int depth)
    {
        CO_TRY(auto line, co_await take_line());
        const char mark = line.empty() ? '\0' : line.front();
        if (!line.empty()) line.erase(0, 1);
        if (mark == '+') co_return Reply{.kind = Reply::Kind::status, .text = std::move(line)};
        if (mark == '-') co_return Reply{.kind = Reply::Kind::error, .text = std::move(line)};
        const auto number = to_number<long long>(line);
        if (!number || depth > depth_limit)
            co_return fail(Errc::unavailable, "0-db answers what is no reply");
        if (mark == ':') co_return Reply{.kind = Reply::Kind::integer, .integer = *number};
        if (*number < 0) co_return Reply{};
        const auto size = static_cast<std::size_t>(*number);
        if (mark == '$' && size <= bulk_limit) {
            while (received_.size() < size + 2) CO_TRY_DO(co_await fill());
            Reply reply{.kind = Reply::Kind::bulk, .text = received_.substr(0, size)};
            received_.erase(0, size + 2);
            co_return reply;
        }
        if (mark != '*' || size > element_limit)
            co_return fail(Errc::unavailable, "0-db answers what is no reply");
        Reply reply{.kind = Reply::Kind::array};
        for (std::size_t i = 0; i < size; ++i) {
            CO_TRY(auto element, co_await take_reply(depth + 1));
            reply.elements.push_back(std::move(element));
        }
        co_return reply;
    }

    std::unique_ptr<Stream> stream_;
    Duration patience_;
    std::string received_;
};

}  // namespace

Task<Result<std::unique_ptr<Client>>> connect_client(Endpoint where, Duration patience)
{
    CO_TRY(auto stream, co_await connect(std::move(where), patience));
    co_return std::make_unique<StreamClient>(std::move(stream), patience);
}

}  // namespace znode::zdb
