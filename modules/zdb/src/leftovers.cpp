#include "leftovers.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>

namespace znode::zdb {
namespace {

/// What is left of a name that the catalog lost: `.lost-<uid>`.
const std::string lost_prefix = ".lost-";

std::vector<std::string> known_folders(const Catalog& catalog)
{
    std::vector<std::string> known;
    for (const auto& [name, entry] : catalog.entries())
        if (!entry.removed) known.push_back(folder_of(entry.uid));
    std::ranges::sort(known);
    return known;
}

/// Folders of ours that the catalog does not name.
Result<std::vector<std::filesystem::path>> strangers_in(
    const std::filesystem::path& root, const Catalog& catalog)
{
    const auto known = known_folders(catalog);
    std::vector<std::filesystem::path> found;
    std::error_code ec;
    std::filesystem::directory_iterator folder{root, ec};
    if (ec) return fail_errno(ec.value(), "list " + root.string());
    for (; folder != std::filesystem::directory_iterator{}; folder.increment(ec)) {
        const auto name = folder->path().filename().string();
        const bool ours = name.size() == 16 && folder->is_directory(ec) &&
                          name.find_first_not_of("0123456789abcdef") == std::string::npos;
        if (ours && !std::ranges::binary_search(known, name)) found.push_back(folder->path());
    }
    return found;
}

Result<> remove_leftovers(const EngineConfig& config, const Catalog& catalog)
{
    for (const auto& root : {config.data, config.index}) {
        TRY(const auto strangers, strangers_in(root, catalog));
        for (const auto& folder : strangers) {
            std::error_code ec;
            std::filesystem::remove_all(folder, ec);
            if (ec) return fail_errno(ec.value(), "remove " + folder.string());
        }
    }
    return {};
}

/// A catalog that lost records may have lost the names of what lies here: nothing is removed.
Result<> set_strangers_aside(const EngineConfig& config, const Catalog& catalog, const Log& log)
{
    TRY(const auto strangers, strangers_in(config.data, catalog));
    for (const auto& folder : strangers) {
        const auto aside = folder.parent_path() / (lost_prefix + folder.filename().string());
        const int err = error_of(std::rename(folder.c_str(), aside.c_str()));
        if (err) return fail_errno(err, "move aside " + folder.string());
        log->error("data of a namespace without a name is kept at {}", aside.string());
    }
    if (std::filesystem::exists(config.data / "catalog"))
        log->error(
            "the catalog is damaged: changes of namespaces are lost, a copy goes to {}",
            catalog.damaged_copy().string());
    return {};
}

/// No new namespace gets the uid of data that was set aside: people may put it back.
Result<> skip_lost_uids(const EngineConfig& config, Catalog& catalog)
{
    std::error_code ec;
    std::filesystem::directory_iterator folder{config.data, ec};
    if (ec) return fail_errno(ec.value(), "list " + config.data.string());
    for (; folder != std::filesystem::directory_iterator{}; folder.increment(ec)) {
        const auto name = folder->path().filename().string();
        if (!name.starts_with(lost_prefix)) continue;
        std::uint64_t uid = 0;
        const char* const end = name.data() + name.size();
        const auto digits = std::from_chars(name.data() + lost_prefix.size(), end, uid, 16);
        if (digits.ec == std::errc{} && digits.ptr == end) catalog.skip_uids(uid);
    }
    return {};
}

}  // namespace

Result<> settle_leftovers(const EngineConfig& config, Catalog& catalog, const Log& log)
{
    if (catalog.complete()) {
        TRY_DO(remove_leftovers(config, catalog));
    } else {
        TRY_DO(set_strangers_aside(config, catalog, log));
    }
    return skip_lost_uids(config, catalog);
}

}  // namespace znode::zdb
