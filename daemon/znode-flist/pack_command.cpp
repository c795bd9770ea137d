#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.hpp"
#include "commands.hpp"
#include "flist/writer.hpp"

namespace znode::flist {
namespace {

void show(const PackFigures& figures)
{
    const auto percent = figures.bytes == 0 ? 100.0
                                            : 100.0 * static_cast<double>(figures.bytes_done) /
                                                  static_cast<double>(figures.bytes);
    fmt::print(
        stderr,
        "\r{:5.1f} %  {} of {} files, {} sent\x1b[K",
        percent,
        figures.files_done,
        figures.files,
        format_size(figures.bytes_sent));
}

Result<> check_entrypoint(const std::string& text)
{
    const auto parsed = nlohmann::json::parse(text, nullptr, false);
    const bool words = parsed.is_array() && !parsed.empty() &&
                       std::all_of(parsed.begin(), parsed.end(), [](const auto& word) {
                           return word.is_string();
                       });
    if (words) return {};
    return fail(Errc::invalid, R"(--entrypoint: expected a JSON array, as ["/bin/sh", "-c", "x"])");
}

}  // namespace

Result<> pack(const PackCommand& command)
{
    TRY(const auto url, store_url(command.store));
    TRY(const auto store, open_store(url));
    PackOptions options;
    options.threads = command.threads;
    if (!command.entrypoint.empty()) {
        TRY_DO(check_entrypoint(command.entrypoint));
        options.metadata["entrypoint"] = command.entrypoint;
    }
    const bool progress = command.progress || ::isatty(STDERR_FILENO) != 0;
    if (progress) options.progress = show;

    auto figures = pack_folder(command.folder, command.output, *store, options);
    if (progress) fmt::print(stderr, "\n");
    if (!figures)
        return tl::unexpected(std::move(figures).error().during("pack " + command.folder));
    fmt::print(
        "{} entries, {}: {} blocks, {} new ({})\n",
        figures->entries,
        format_size(figures->bytes),
        figures->blocks,
        figures->blocks_sent,
        format_size(figures->bytes_sent));
    return {};
}

}  // namespace znode::flist
