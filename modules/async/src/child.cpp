#include "async/child.hpp"

#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include <boost/asio/buffer.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/write.hpp>

namespace znode {
namespace {

using asio::posix::stream_descriptor;

constexpr std::size_t output_limit = std::size_t{16} << 20U;
constexpr std::size_t error_limit = std::size_t{64} << 10U;

Task<> feed(stream_descriptor* pipe, const std::string* input)
{
    (void)co_await asio::async_write(*pipe, asio::buffer(*input), as_result);
    pipe->close();
}

/// Reads until the end; false when there was more than `limit` and no tail is kept.
Task<bool> gather(stream_descriptor* pipe, std::string* into, std::size_t limit, bool keep_tail)
{
    std::array<char, 16384> buffer;
    for (;;) {
        auto [ec, got] = co_await pipe->async_read_some(asio::buffer(buffer), as_result);
        if (ec) co_return true;
        into->append(buffer.data(), got);
        if (into->size() <= limit) continue;
        if (!keep_tail) co_return false;
        into->erase(0, into->size() - limit);
    }
}

Task<> gather_errors(stream_descriptor* pipe, std::string* into)
{
    (void)co_await gather(pipe, into, error_limit, true);
}

struct Pipe {
    kernel::Fd read;
    kernel::Fd write;
};

Result<Pipe> make_pipe()
{
    std::array<int, 2> ends{};
    const int err = error_of(::pipe2(ends.data(), O_CLOEXEC));
    if (err) return fail_errno(err, "pipe");
    return Pipe{kernel::Fd{ends[0]}, kernel::Fd{ends[1]}};
}

Task<Result<kernel::Exit>> converse(
    const kernel::Child* child,
    stream_descriptor* in,
    stream_descriptor* out,
    stream_descriptor* err,
    const std::string* input,
    kernel::Output* output)
{
    const auto loop = co_await asio::this_coro::executor;
    auto all = asio::experimental::make_parallel_group(
        asio::co_spawn(loop, feed(in, input), asio::deferred),
        asio::co_spawn(loop, gather(out, &output->out, output_limit, false), asio::deferred),
        asio::co_spawn(loop, gather_errors(err, &output->err), asio::deferred));
    auto ended = co_await all.async_wait(asio::experimental::wait_for_all(), asio::use_awaitable);
    if (!std::get<3>(ended)) co_return fail(Errc::exhausted, "printed more than 16 MiB");
    co_return co_await wait_for_exit(child);
}

}  // namespace

Task<Result<kernel::Exit>> wait_for_exit(const kernel::Child* child)
{
    const auto loop = co_await asio::this_coro::executor;
    kernel::Fd copy{::fcntl(child->pidfd(), F_DUPFD_CLOEXEC, 0)};
    if (const int err = error_of(copy.get())) co_return fail_errno(err, "duplicate pidfd");
    stream_descriptor ready{loop, copy.release()};
    for (;;) {
        auto [ec] = co_await ready.async_wait(stream_descriptor::wait_read, as_result);
        if (ec) co_return fail_net("wait for process", ec);
        CO_TRY(const auto exit, child->poll());
        if (exit) co_return *exit;
    }
}

Task<Result<kernel::Output>> run_child(kernel::ChildSpec spec, std::string input, Duration patience)
{
    const auto loop = co_await asio::this_coro::executor;
    CO_TRY(auto in, make_pipe());
    CO_TRY(auto out, make_pipe());
    CO_TRY(auto err, make_pipe());
    spec.descriptors.push_back({in.read.get(), 0});
    spec.descriptors.push_back({out.write.get(), 1});
    spec.descriptors.push_back({err.write.get(), 2});
    spec.new_session = true;  // So that the whole group can be killed.
    const auto intent = "run " + (spec.argv.empty() ? std::string{"?"} : spec.argv[0]);
    auto spawned = kernel::Child::spawn(spec);
    if (!spawned) co_return tl::unexpected(std::move(spawned).error());
    const auto child = *std::move(spawned);
    in.read.close();
    out.write.close();
    err.write.close();

    stream_descriptor to{loop, in.write.release()};
    stream_descriptor from{loop, out.read.release()};
    stream_descriptor errors{loop, err.read.release()};
    kernel::Output output;
    std::optional<Result<kernel::Exit>> ended;
    std::exception_ptr thrown;
    try {
        ended = co_await run_until(
            sleep_for(patience), converse(&child, &to, &from, &errors, &input, &output));
    } catch (...) {
        thrown = std::current_exception();
    }
    if (thrown || !ended || !*ended) {
        ::kill(-child.pid(), SIGKILL);
        (void)child.wait(std::chrono::milliseconds{200});  // Reaped, unless it hangs in the kernel.
    }
    if (thrown) std::rethrow_exception(thrown);
    if (!ended)
        co_return fail(
            Errc::timeout,
            intent + ": not finished after " +
                std::to_string(
                    std::chrono::duration_cast<std::chrono::milliseconds>(patience).count()) +
                " ms");
    if (!*ended) co_return tl::unexpected(std::move(*ended).error().during(intent));
    output.exit = **ended;
    co_return output;
}

}  // namespace znode
