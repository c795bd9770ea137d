#include "base/log.hpp"

#include <unistd.h>

#include <mutex>

#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/null_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include "base/journal.hpp"

namespace znode {
namespace {

int priority_of(spdlog::level::level_enum level)
{
    switch (level) {
        case spdlog::level::critical:
        case spdlog::level::err:
            return 3;
        case spdlog::level::warn:
            return 4;
        case spdlog::level::info:
            return 6;
        default:
            return 7;
    }
}

/// Lines with fields for the journal. One that it does not take goes to stderr, with the priority
/// in the form that it reads at the start of a line.
class JournalSink final : public spdlog::sinks::base_sink<std::mutex> {
protected:
    void sink_it_(const spdlog::details::log_msg& message) override
    {
        const std::string_view name{message.logger_name.data(), message.logger_name.size()};
        const std::string_view line{message.payload.data(), message.payload.size()};
        const int priority = priority_of(message.level);
        if (send_to_journal(journal_entry(name, priority, line))) return;
        auto plain = "<" + std::to_string(priority) + ">" + std::string{line} + "\n";
        (void)!::write(STDERR_FILENO, plain.data(), plain.size());
    }
    void flush_() override {}
};

}  // namespace

Log make_log(std::string_view name, std::string_view level)
{
    spdlog::sink_ptr sink;
    if (stderr_is_the_journal())
        sink = std::make_shared<JournalSink>();
    else
        sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    auto log = std::make_shared<spdlog::logger>(std::string{name}, std::move(sink));
    log->set_pattern("%n %l: %v");
    log->set_level(spdlog::level::from_str(std::string{level}));
    log->flush_on(spdlog::level::trace);
    return log;
}

Log silent_log()
{
    return std::make_shared<spdlog::logger>(
        "silent", std::make_shared<spdlog::sinks::null_sink_mt>());
}

}  // namespace znode
