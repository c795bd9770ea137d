#pragma once

#include <gtest/gtest.h>

#include "async/task_group.hpp"
#include "http/client.hpp"
#include "http/server.hpp"
#include "temp_folder.hpp"

namespace znode::http {

using namespace std::chrono_literals;

/// A server on a unix socket that answers "METHOD target body".
class HttpTest : public testing::Test {
protected:
    static Task<Reply> echo(Request request)
    {
        if (request.target.starts_with("/stream")) {
            Reply reply;
            reply.stream = [](BodySink* sink) { return count(sink); };
            co_return reply;
        }
        if (request.target.starts_with("/endless")) {
            Reply reply;
            reply.stream = [](BodySink* sink) { return never_end(sink); };
            co_return reply;
        }
        if (request.target == "/moved")
            co_return Reply{.status = 302, .headers = {{"Location", "/there"}}};
        if (request.target == "/slow") co_await sleep_for(100ms);
        // More than half of what one network may hold.
        if (request.target == "/huge")
            co_return Reply{.body = std::string(std::size_t{20} << 20U, 'x')};
        Reply reply{
            .body =
                std::string{to_string(request.method)} + " " + request.target + " " + request.body};
        reply.headers.set("Content-Type", "text/plain");
        co_return reply;
    }
    static Task<Result<>> count(BodySink* sink)
    {
        for (int i = 0; i < 3; ++i)
            CO_TRY_DO(co_await sink->write("{\"line\":" + std::to_string(i) + "}\n"));
        co_return Result<>{};
    }
    static Task<Result<>> never_end(BodySink* sink)
    {
        CO_TRY_DO(co_await sink->write("first\n"));
        co_await sleep_for(1h);
        co_return Result<>{};
    }

    void start()
    {
        server = make_server(
            loop,
            [](const Request& request, const Peer&) { return echo(request); },
            limits,
            silent_log(),
            check);
        auto listener = listen_unix(loop, where.host, 0600);
        ASSERT_TRUE(listener) << listener.error().message;
        server->serve(as_served(*std::move(listener)));
    }
    /// What the server accepts from; a test may put something between.
    virtual std::unique_ptr<Listener> as_served(std::unique_ptr<Listener> listener)
    {
        return listener;
    }

    /// Runs the conversation, then stops the server.
    template <class T>
    T drive(Task<T> conversation)
    {
        return run(loop, stop_after(std::move(conversation), server.get()));
    }
    template <class T>
    static Task<T> stop_after(Task<T> conversation, Server* running)
    {
        auto outcome = co_await std::move(conversation);
        co_await running->stop(0s);
        co_return outcome;
    }

    test::TempFolder folder;
    asio::io_context loop{1};
    Endpoint where{
        .kind = Endpoint::Kind::unix_socket, .host = (folder.path() / "s").string(), .port = {}};
    ServerLimits limits{.linger = 10ms};
    HeadCheck check;
    std::unique_ptr<Server> server;
};

}  // namespace znode::http
