#include "base/log.hpp"

#include <unistd.h>

#include <cstdlib>

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/null_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

namespace znode {
namespace {

/// The syslog priority in the form that the journal reads at the start of a line.
class PriorityFlag : public spdlog::custom_flag_formatter {
public:
    void format(
        const spdlog::details::log_msg& line, const std::tm&, spdlog::memory_buf_t& out) override
    {
        std::string_view prefix = "<7>";
        switch (line.level) {
            case spdlog::level::critical:
            case spdlog::level::err:
                prefix = "<3>";
                break;
            case spdlog::level::warn:
                prefix = "<4>";
                break;
            case spdlog::level::info:
                prefix = "<6>";
                break;
            default:
                break;
        }
        out.append(prefix.data(), prefix.data() + prefix.size());
    }
    std::unique_ptr<custom_flag_formatter> clone() const override
    {
        return std::make_unique<PriorityFlag>();
    }
};

}  // namespace

Log make_log(std::string_view name, std::string_view level)
{
    auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    auto log = std::make_shared<spdlog::logger>(std::string{name}, std::move(sink));
    auto format = std::make_unique<spdlog::pattern_formatter>();
    if (std::getenv("JOURNAL_STREAM") != nullptr)
        format->add_flag<PriorityFlag>('*').set_pattern("%*%v");
    else
        format->set_pattern("%n %l: %v");
    log->set_formatter(std::move(format));
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
