#pragma once

#include <deque>
#include <string>
#include <vector>

#include "async/event.hpp"
#include "status/source.hpp"
#include "status_samples.hpp"

namespace znode::status::test {

/// A node with the sample workloads; what is asked of it stands in `diary`.
class FakeSource final : public Source {
public:
    explicit FakeSource(asio::io_context& loop) : happened{loop}, logged{loop} {}

    v1::Status status() override { return sample_status(); }
    v1::Health health() override { return health_; }
    v1::WorkloadList workloads() override { return sample_workloads(); }
    std::optional<v1::Workload> workload(std::string gwid) override
    {
        if (gwid == "15-1") return sample_container();
        return std::nullopt;
    }
    Task<Result<v1::EventList>> events(std::uint64_t since, std::size_t limit) override
    {
        v1::EventList list;
        for (const auto& event : all_events) {
            if (event.sequence() <= static_cast<double>(since)) continue;
            if (static_cast<std::size_t>(list.events_size()) == limit) break;
            *list.add_events() = event;
        }
        co_return list;
    }
    Task<> wait_for_event(std::uint64_t, Duration patience) override
    {
        (void)co_await happened.wait_for(patience);
    }
    Task<Result<v1::Storage>> storage() override { co_return v1::Storage{}; }
    Task<Result<v1::Network>> network() override
    {
        co_return fail(Errc::unavailable, "the kernel does not answer");
    }
    Task<Result<v1::Capacity>> capacity() override { co_return v1::Capacity{}; }
    Task<Result<v1::FlistList>> flists() override { co_return v1::FlistList{}; }
    Task<Result<v1::Doctor>> doctor() override { co_return doctor_; }

    Task<Result<std::unique_ptr<LogReader>>> logs(LogQuery query) override
    {
        diary.push_back(
            "logs " + query.workload + " stream=" + query.stream + " tail=" +
            (query.tail ? std::to_string(*query.tail) : "-") + (query.follow ? " follow" : ""));
        if (query.workload != "15-1") co_return fail(Errc::not_found, "no workload like that");
        std::unique_ptr<LogReader> reader = std::make_unique<Reader>(*this, query.follow);
        co_return reader;
    }
    Task<Result<>> restart(std::string gwid) override
    {
        diary.push_back("restart " + gwid);
        co_return Result<>{};
    }
    Task<Result<v1::Maintenance>> maintenance(bool on, std::string reason) override
    {
        diary.push_back(std::string{"maintenance "} + (on ? "on " : "off ") + reason);
        v1::Maintenance now;
        now.set_on(on);
        now.set_reason(reason);
        co_return now;
    }
    Task<Result<v1::GcReport>> gc(bool dry_run) override
    {
        diary.push_back(dry_run ? "gc dry" : "gc");
        co_return v1::GcReport{};
    }
    std::string metrics() override { return "znode_fake 1\n"; }

    void happen(std::string gwid, std::string to)
    {
        auto& event = all_events.emplace_back();
        event.set_sequence(static_cast<double>(all_events.size()));
        event.set_workload(std::move(gwid));
        event.set_to(std::move(to));
        happened.notify();
    }
    void log(std::string text)
    {
        auto& line = lines.emplace_back();
        line.set_stream("stdout");
        line.set_line(std::move(text));
        logged.notify();
    }

    v1::Health health_;
    v1::Doctor doctor_;
    std::vector<v1::Event> all_events;
    std::vector<v1::LogLine> lines;
    std::vector<std::string> diary;
    unsigned readers = 0;
    Event happened;
    Event logged;

private:
    class Reader final : public LogReader {
    public:
        Reader(FakeSource& source, bool follow) : source_{source}, follow_{follow}
        {
            ++source_.readers;
        }
        ~Reader() override
        {
            --source_.readers;
            source_.logged.notify();
        }
        Task<Result<std::optional<std::vector<v1::LogLine>>>> next() override
        {
            while (at_ == source_.lines.size()) {
                if (!follow_) co_return std::nullopt;
                co_await source_.logged.wait();
                co_await asio::this_coro::throw_if_cancelled(true);
            }
            std::vector<v1::LogLine> fresh{
                source_.lines.begin() + static_cast<std::ptrdiff_t>(at_), source_.lines.end()};
            at_ = source_.lines.size();
            co_return fresh;
        }

    private:
        FakeSource& source_;
        bool follow_;
        std::size_t at_ = 0;
    };
};

}  // namespace znode::status::test
