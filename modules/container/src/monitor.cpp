#include "monitor.hpp"

#include <unistd.h>

#include <csignal>

#include <boost/asio/buffer.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include "base/text.hpp"
#include "kernel/fd.hpp"

namespace znode::container {
namespace {

Task<Result<std::string>> read_to_end(asio::posix::stream_descriptor* pipe)
{
    std::string text;
    std::array<char, 256> buffer;
    for (;;) {
        auto [ec, got] = co_await pipe->async_read_some(asio::buffer(buffer), as_result);
        if (ec == asio::error::operation_aborted) co_return fail_net("wait for the monitor", ec);
        if (ec || text.size() > 1024) co_return text;
        text.append(buffer.data(), got);
    }
}

}  // namespace

Result<MonitorAnswer> parse_answer(std::string_view line)
{
    const auto words = split(trim(line), ' ');
    if (words.size() == 2 && words[0] == "started")
        if (const auto pid = to_number<int>(words[1])) return MonitorAnswer{true, "", *pid};
    if (words.size() == 3 && words[0] == "failed")
        if (const auto number = to_number<int>(words[2]))
            return MonitorAnswer{false, std::string{words[1]}, *number};
    if (trim(line).empty()) return fail(Errc::unavailable, "the monitor died at its start");
    return fail(Errc::internal, "the monitor said \"" + printable(line) + "\"");
}

Task<Result<StartedMonitor>> start_monitor(
    const ContainersConfig* config,
    std::string gwid,
    std::uint32_t owner,
    LogLimits logs,
    std::vector<std::string> cgroup_doors,
    bool attach)
{
    const Places places{*config, gwid};
    kernel::ChildSpec spec;
    spec.argv = {
        config->monitor_program,
        "--dir",
        places.bundle,
        "--id",
        gwid,
        "--logs",
        places.logs,
        "--owner",
        std::to_string(owner),
        "--segment-bytes",
        std::to_string(logs.segment_bytes),
        "--segments",
        std::to_string(logs.segments),
        "--crun",
        config->runtime,
        "--crun-root",
        config->run_dir / "crun",
        "--ready-fd",
        "3",
    };
    if (attach) spec.argv.emplace_back("--attach");
    // It enters its cgroup itself: the first write there may take 20 ms, and is not ours to wait
    // for.
    for (auto& door : cgroup_doors) {
        spec.argv.emplace_back("--cgroup");
        spec.argv.push_back(std::move(door));
    }
    std::array<int, 2> ends{};
    const int err = error_of(::pipe2(ends.data(), O_CLOEXEC));
    if (err) co_return fail_errno(err, "start monitor: pipe");
    kernel::Fd read_end{ends[0]};
    kernel::Fd write_end{ends[1]};
    spec.descriptors.push_back({write_end.get(), 3});
    spec.new_session = true;
    CO_TRY(auto child, kernel::Child::spawn(spec));
    write_end.close();

    asio::posix::stream_descriptor pipe{co_await asio::this_coro::executor, read_end.release()};
    auto said = co_await with_deadline(
        config->start_patience, "start container " + gwid, read_to_end(&pipe));
    auto answer = said ? parse_answer(*said) : tl::unexpected<Error>{said.error()};
    if (!answer) {
        (void)child.signal(SIGKILL);
        (void)child.wait(std::chrono::milliseconds{200});
        co_return tl::unexpected<Error>{std::move(answer).error()};
    }
    co_return StartedMonitor{std::move(child), *std::move(answer)};
}

}  // namespace znode::container
