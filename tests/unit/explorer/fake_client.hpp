#pragma once

#include <deque>
#include <string>
#include <vector>

#include "http/client.hpp"

namespace znode::explorer {

/// An HTTP client without a network: answers what the test has put in, keeps what it was asked.
class FakeClient final : public http::Client {
public:
    Task<Result<http::Reply>> send(http::Request request) override
    {
        asked.push_back(std::move(request));
        if (answers.empty()) co_return fail(Errc::unavailable, "connection refused");
        auto answer = std::move(answers.front());
        answers.pop_front();
        if (answer.status == 0) co_return fail(Errc::unavailable, "connection refused");
        co_return answer;
    }
    Task<Result<http::Reply>> fetch(http::Request request, http::ChunkSink sink) override
    {
        CO_TRY(auto reply, co_await send(std::move(request)));
        if (sink && reply.status / 100 == 2) CO_TRY_DO(sink(std::exchange(reply.body, {})));
        co_return reply;
    }
    void close() noexcept override {}

    void answer(unsigned status, std::string body, http::Headers headers = {})
    {
        http::Reply reply;
        reply.status = status;
        reply.body = std::move(body);
        reply.headers = std::move(headers);
        answers.push_back(std::move(reply));
    }
    /// Nobody is there when the next request comes.
    void refuse() { answer(0, ""); }
    const http::Request& last() const { return asked.back(); }

    std::vector<http::Request> asked;
    std::deque<http::Reply> answers;
};

}  // namespace znode::explorer
