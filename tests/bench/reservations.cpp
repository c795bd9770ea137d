// The agent's own part in taking reservations, with resources that do nothing: the link to the
// explorer, the engine, its runners, the journal and the outbox are the real ones.
//
//   bench_reservations take FOLDER COUNT   takes the pages in FOLDER (page-0, page-1, …), signed by
//                                          the customer whose key is in FOLDER/customer, into an
//                                          empty FOLDER/state.db
//   bench_reservations start FOLDER COUNT  an agent that starts with that journal
//   bench_reservations nothing FOLDER 0    the same program without work, for its memory
//
// One line of JSON tells seconds since the beginning and the largest memory in KiB.

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/text.hpp"
#include "engine/explorer_link.hpp"
#include "kernel/files.hpp"

namespace {

using namespace znode;
using namespace std::chrono_literals;

constexpr std::int64_t page_length = 200;
constexpr auto patience = 5min;

/// An explorer without a network: it has the pages and takes every answer.
class Pages final : public explorer::NodeApi {
public:
    Pages(asio::io_context& loop, std::filesystem::path folder)
        : folder_{std::move(folder)}, heard_{loop}
    {
    }

    Task<Result<explorer::PollPage>> poll(explorer::PollQuestion question) override
    {
        explorer::PollPage page;
        page.waited = true;
        const auto number = std::max<std::int64_t>(question.from - 1, 0) / page_length;
        const auto text = kernel::read_file(folder_ / ("page-" + std::to_string(number)));
        if (!text) {
            // Everything before is in the journal, for else the agent would not ask for more.
            if (!all_accepted_) all_accepted_ = Clock::now();
            heard_.notify();
            co_await sleep_for(question.wait);
            page.unchanged = true;
            page.last_id = std::max<std::int64_t>(question.from - 1, 0);
            co_return page;
        }
        CO_TRY(page.entries, explorer::read_page(*text));
        page.last_id = (number + 1) * page_length;
        page.etag = std::to_string(number);
        co_return page;
    }
    Task<Result<>> put_result(grid::Gwid, grid::WorkloadResult) override
    {
        ++results_;
        heard_.notify();
        co_return Result<>{};
    }

    Task<Result<>> register_node(grid::Node) override { co_return Result<>{}; }
    Task<Result<grid::Node>> self() override { co_return grid::Node{}; }
    Task<Result<>> set_interfaces(std::vector<grid::Interface>) override { co_return Result<>{}; }
    Task<Result<>> set_ports(std::vector<std::int64_t>) override { co_return Result<>{}; }
    Task<Result<>> set_capacity(grid::CapacityReport) override { co_return Result<>{}; }
    Task<Result<>> set_uptime(std::chrono::seconds) override { co_return Result<>{}; }
    Task<Result<>> set_used(grid::UsedReport) override { co_return Result<>{}; }
    Task<Result<>> report_deleted(grid::Gwid) override { co_return Result<>{}; }
    Task<Result<grid::Workload>> workload(grid::Gwid) override { co_return grid::Workload{}; }
    Task<Result<grid::legacy::Reservation>> reservation(std::int64_t) override
    {
        co_return grid::legacy::Reservation{};
    }
    Task<Result<grid::User>> user(std::int64_t) override { co_return grid::User{}; }
    Task<Result<grid::Farm>> farm(std::int64_t) override { co_return grid::Farm{}; }
    Task<Result<>> probe() override { co_return Result<>{}; }
    std::optional<explorer::Era> era() const noexcept override { return explorer::Era::pools; }
    const explorer::ApiFailure& last_failure() const noexcept override { return failure_; }

    std::optional<Clock::time_point> all_accepted() const { return all_accepted_; }
    std::int64_t results() const { return results_; }
    Task<> heard() { return heard_.wait(); }

private:
    std::filesystem::path folder_;
    znode::Event heard_;
    std::optional<Clock::time_point> all_accepted_;
    std::int64_t results_ = 0;
    explorer::ApiFailure failure_;
};

/// Counts what is made, and makes nothing.
class Nothing final : public engine::Step {
public:
    explicit Nothing(std::int64_t& made) : made_{made} {}
    std::string name() const override { return "nothing"; }
    Task<Result<>> apply() override
    {
        ++made_;
        co_return Result<>{};
    }
    Task<Result<>> revert() override { co_return Result<>{}; }

private:
    std::int64_t& made_;
};

class NothingPlanner final : public engine::Planner {
public:
    Result<std::unique_ptr<engine::Plan>> plan(
        const engine::Order& order, engine::Standing) override
    {
        auto plan = std::make_unique<engine::Plan>();
        plan->provides.push_back("volume:" + order.gwid);
        plan->data = [gwid = order.gwid] { return "{\"volume_id\":\"" + gwid + "\"}"; };
        plan->add(std::make_unique<Nothing>(made));
        return plan;
    }
    std::int64_t made = 0;
};

/// Of VmHWM or VmRSS, in KiB.
std::int64_t memory(std::string_view which)
{
    const auto status = kernel::read_file("/proc/self/status");
    if (!status) return 0;
    for (const auto line : split(*status, '\n'))
        if (line.starts_with(which))
            return std::strtoll(line.substr(which.size() + 1).data(), nullptr, 10);
    return 0;
}

double seconds(Clock::duration time) { return std::chrono::duration<double>(time).count(); }

class Agent {
public:
    Agent(const std::filesystem::path& folder, engine::Journal& journal)
        : api_{loop_, folder}, journal_{journal}
    {
        const auto text = kernel::read_file(folder / "customer");
        const auto key = text ? identity::key_of_hex(trim(*text)) : Result<identity::PublicKey>{};
        if (!text || !key) std::exit(2);
        customer_ = *key;
        node_ = trim(*kernel::read_file(folder / "node"));
    }

    Task<> take(std::int64_t count)
    {
        const auto begun = Clock::now();
        make();
        if (const auto started = co_await engine_->start(); !started) fail(started.error());
        link_->start(*engine_);
        while (!api_.all_accepted() || api_.results() < count) co_await api_.heard();
        const auto told = Clock::now();
        std::printf(
            "{\"accepted\":%.4f,\"told\":%.4f,\"peak\":%lld,\"memory\":%lld,\"made\":%lld}\n",
            seconds(*api_.all_accepted() - begun),
            seconds(told - begun),
            static_cast<long long>(memory("VmHWM:")),
            static_cast<long long>(memory("VmRSS:")),
            static_cast<long long>(planner_.made));
        co_await link_->stop();
        co_await engine_->stop();
    }

    Task<> start(std::int64_t count)
    {
        const auto begun = Clock::now();
        make();
        if (const auto started = co_await engine_->start(); !started) fail(started.error());
        const auto late = begun + patience;
        while (planner_.made < count && Clock::now() < late) co_await sleep_for(1ms);
        std::printf(
            "{\"started\":%.4f,\"peak\":%lld,\"memory\":%lld,\"made\":%lld}\n",
            seconds(Clock::now() - begun),
            static_cast<long long>(memory("VmHWM:")),
            static_cast<long long>(memory("VmRSS:")),
            static_cast<long long>(planner_.made));
        co_await engine_->stop();
    }

    asio::io_context& loop() { return loop_; }

private:
    void make()
    {
        engine::Announcement say;
        say.node = []() -> Task<Result<grid::Node>> { co_return grid::Node{}; };
        say.interfaces = []() -> Task<Result<std::vector<grid::Interface>>> {
            co_return std::vector<grid::Interface>{};
        };
        say.ports = []() -> Task<Result<std::vector<std::int64_t>>> {
            co_return std::vector<std::int64_t>{};
        };
        say.capacity = []() -> Task<Result<grid::CapacityReport>> {
            co_return grid::CapacityReport{};
        };
        say.used = [this] {
            grid::UsedReport used;
            engine_->each([&](const engine::Entry&) { ++used.workloads.volume; });
            return used;
        };
        link_.emplace(
            loop_,
            api_,
            node_,
            std::move(say),
            engine::CustomerCheck{
                engine::Verify::always,
                [this](std::int64_t, bool) -> Task<Result<identity::PublicKey>> {
                    co_return customer_;
                }},
            log_);
        engine_.emplace(
            engine::Engine::Parts{
                loop_,
                planner_,
                journal_,
                store_,
                [this](const engine::Letter& letter) { return link_->deliver(letter); },
                log_},
            engine::Machine{.cpus = 2, .memory = std::uint64_t{8} << 30U},
            engine::Patience{});
        engine_->on_change = [this] { link_->changed(); };
    }

    [[noreturn]] static void fail(const Error& error)
    {
        std::fprintf(stderr, "bench_reservations: %s\n", error.message.c_str());
        std::exit(1);
    }

    asio::io_context loop_{1};
    Blocking store_{1};
    Log log_ = make_log("znoded");
    Pages api_;
    NothingPlanner planner_;
    engine::Journal& journal_;
    identity::PublicKey customer_{};
    std::string node_;
    std::optional<engine::ExplorerLink> link_;
    std::optional<engine::Engine> engine_;
};

}  // namespace

int main(int argc, char** argv)
{
    if (argc != 4) return 2;
    const std::string_view verb{argv[1]};
    const std::filesystem::path folder{argv[2]};
    const auto count = std::strtoll(argv[3], nullptr, 10);
    auto journal = engine::Journal::open(folder / (verb == "nothing" ? "empty.db" : "state.db"));
    if (!journal) {
        std::fprintf(stderr, "bench_reservations: %s\n", journal.error().message.c_str());
        return 1;
    }
    Agent agent{folder, *journal};
    if (verb == "take")
        run(agent.loop(), agent.take(count));
    else if (verb == "start" || verb == "nothing")
        run(agent.loop(), agent.start(count));
    else
        return 2;
    return 0;
}
