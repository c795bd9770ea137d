#include "commands.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <ctime>
#include <set>
#include <thread>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.hpp"
#include "flist/content.hpp"
#include "flist/reader.hpp"
#include "opened.hpp"

namespace znode::flist {
namespace {

char type_letter(const Node& node)
{
    switch (node.mode & 0170000U) {
        case 0040000U:
            return 'd';
        case 0120000U:
            return 'l';
        case 0060000U:
            return 'b';
        case 0020000U:
            return 'c';
        case 0010000U:
            return 'p';
        case 0140000U:
            return 's';
        default:
            return '-';
    }
}

std::string mode_text(const Node& node)
{
    std::string text = "rwxrwxrwx";
    for (unsigned bit = 0; bit < 9; ++bit)
        if ((node.mode & (0400U >> bit)) == 0) text[bit] = '-';
    const auto special = [&](unsigned mask, std::size_t at, char with, char without) {
        if ((node.mode & mask) != 0) text[at] = text[at] == 'x' ? with : without;
    };
    special(04000, 2, 's', 'S');
    special(02000, 5, 's', 'S');
    special(01000, 8, 't', 'T');
    return type_letter(node) + text;
}

void print_entry(const Tree& tree, Index index, bool lengthy)
{
    const Node& node = tree[index];
    if (!lengthy) {
        fmt::print("{}\n", tree.path(index));
        return;
    }
    const bool device = (node.mode & 0170000U) == 0060000U || (node.mode & 0170000U) == 0020000U;
    const auto size =
        device ? fmt::format("{}, {}", node.major, node.minor) : std::to_string(node.size);
    const std::time_t when = node.mtime;
    std::tm utc{};
    ::gmtime_r(&when, &utc);
    char date[32];
    (void)std::strftime(date, sizeof date, "%Y-%m-%d %H:%M", &utc);
    const auto arrow = node.is_link() ? " -> " + std::string{tree.target(node)} : std::string{};
    fmt::print(
        "{} {:>3} {:>5} {:>5} {:>11} {} {}{}\n",
        mode_text(node),
        tree.links(node),
        node.uid,
        node.gid,
        size,
        date,
        tree.path(index),
        arrow);
}

void print_below(const Tree& tree, Index index, bool lengthy)
{
    print_entry(tree, index, lengthy);
    const Node& node = tree[index];
    if (!node.is_folder()) return;
    for (std::uint32_t i = 0; i < node.count; ++i) print_below(tree, node.first + i, lengthy);
}

Result<Index> find(const Tree& tree, const std::string& path)
{
    const auto found = tree.find(path);
    if (!found) return fail(Errc::not_found, printable(path) + " is not in the flist");
    return *found;
}

void gather_files(const Tree& tree, Index index, std::vector<Index>& files)
{
    const Node& node = tree[index];
    if (node.is_file()) files.push_back(index);
    if (!node.is_folder()) return;
    for (std::uint32_t i = 0; i < node.count; ++i) gather_files(tree, node.first + i, files);
}

/// Reads the files with several threads; says which ones cannot be read.
std::uint64_t read_all(
    const Tree& tree, Content& content, const std::vector<Index>& files, std::size_t& bad)
{
    std::atomic<std::size_t> next{0};
    std::atomic<std::uint64_t> bytes{0};
    std::atomic<std::size_t> failed{0};
    const auto work = [&] {
        for (std::size_t i = next++; i < files.size(); i = next++) {
            const auto read = content.read(tree[files[i]], [&](std::string_view piece) -> Result<> {
                bytes += piece.size();
                return {};
            });
            if (read) continue;
            ++failed;
            fmt::print(stderr, "{}: {}\n", tree.path(files[i]), read.error().message);
        }
    };
    {
        std::vector<std::jthread> readers;
        for (unsigned i = 0; i < 4; ++i) readers.emplace_back(work);
    }
    bad = failed;
    return bytes;
}

}  // namespace

Result<> list_entries(
    const std::string& flist, const std::string& path, bool recursive, bool lengthy)
{
    TRY(const auto tree, read_flist(std::filesystem::path{flist}));
    TRY(const auto index, find(tree, path));
    const Node& node = tree[index];
    if (recursive)
        print_below(tree, index, lengthy);
    else if (!node.is_folder())
        print_entry(tree, index, lengthy);
    else
        for (std::uint32_t i = 0; i < node.count; ++i) print_entry(tree, node.first + i, lengthy);
    return {};
}

Result<> print_file(
    const std::string& flist, const std::string& path, const Source& source, Log log)
{
    TRY(const auto opened, open_all(flist, source, log));
    TRY(const auto index, find(*opened->tree, path));
    if (!(*opened->tree)[index].is_file())
        return fail(Errc::invalid, printable(path) + " is no regular file");
    return opened->content->read((*opened->tree)[index], [](std::string_view piece) -> Result<> {
        if (std::fwrite(piece.data(), 1, piece.size(), stdout) != piece.size())
            return fail(Errc::unavailable, "nobody takes the output");
        return {};
    });
}

Result<> print_info(const std::string& flist, bool json)
{
    TRY(const auto tree, read_flist(std::filesystem::path{flist}));
    std::map<std::string, std::uint64_t> counts;
    std::set<std::string_view> blocks;
    for (Index i = 0; i < tree.size(); ++i) {
        const Node& node = tree[i];
        ++counts
            [node.is_folder() ? "folders"
             : node.is_file() ? "files"
             : node.is_link() ? "links"
                              : "specials"];
        for (std::uint32_t b = 0; node.is_file() && b < node.count; ++b)
            blocks.insert(tree.block(node, b).id);
    }
    if (json) {
        nlohmann::json out{
            {"entries", tree.size()},
            {"content_bytes", tree.content_bytes()},
            {"block_references", tree.block_count()},
            {"blocks", blocks.size()},
            {"metadata", tree.metadata()}};
        for (const auto& [kind, count] : counts) out[kind] = count;
        fmt::print("{}\n", out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
        return {};
    }
    fmt::print("entries   {}\n", tree.size());
    for (const auto& [kind, count] : counts) fmt::print("  {:<8}{}\n", kind, count);
    fmt::print("content   {}\n", format_size(tree.content_bytes()));
    fmt::print("blocks    {} ({} references)\n", blocks.size(), tree.block_count());
    for (const auto& [key, value] : tree.metadata())
        fmt::print("{:<10}{}\n", printable(key, 40), printable(value, 400));
    return {};
}

Result<> verify(const std::string& flist, const Source& source, Log log)
{
    TRY(const auto opened, open_all(flist, source, log));
    std::vector<Index> files;
    gather_files(*opened->tree, 0, files);
    std::size_t bad = 0;
    const auto bytes = read_all(*opened->tree, *opened->content, files, bad);
    if (bad != 0)
        return fail(
            Errc::corrupt,
            fmt::format("{} of {} files cannot be read as the flist promises", bad, files.size()));
    fmt::print("{} files, {}: all as the flist promises\n", files.size(), format_size(bytes));
    return {};
}

Result<> prefetch(const std::string& flist, const std::string& path, const Source& source, Log log)
{
    if (source.cache.empty()) return fail(Errc::invalid, "prefetch needs --cache DIR");
    TRY(const auto opened, open_all(flist, source, log));
    TRY(const auto index, find(*opened->tree, path));
    std::vector<Index> files;
    gather_files(*opened->tree, index, files);
    std::size_t bad = 0;
    const auto bytes = read_all(*opened->tree, *opened->content, files, bad);
    if (bad != 0)
        return fail(
            Errc::unavailable, fmt::format("{} of {} files not fetched", bad, files.size()));
    const auto figures = opened->content->figures();
    fmt::print(
        "{} files, {}: {} blocks fetched, {} were there\n",
        files.size(),
        format_size(bytes),
        figures.from_store,
        figures.from_cache);
    return {};
}

}  // namespace znode::flist
