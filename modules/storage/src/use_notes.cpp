#include "storage/use_notes.hpp"

#include "base/failpoint.hpp"
#include "kernel/files.hpp"

namespace znode::storage {
namespace {

/// The pool's path, with nothing that ends a name.
std::string name_of(const std::filesystem::path& pool)
{
    std::string name;
    for (const char c : pool.string()) {
        if (c == '/')
            name += "%2F";
        else if (c == '%')
            name += "%25";
        else
            name += c;
    }
    // A file's name holds 255 bytes; the end of a path tells more than its begin.
    return name.size() <= 200 ? name : name.substr(name.size() - 200);
}

/// False also where nobody can say.
bool is_there(const std::filesystem::path& file)
{
    std::error_code failed;
    return std::filesystem::exists(file, failed);
}

bool may_be_there(const std::filesystem::path& file)
{
    std::error_code failed;
    return std::filesystem::exists(file, failed) || failed;
}

}  // namespace

std::filesystem::path UseNotes::of(const std::filesystem::path& pool) const
{
    return folder_.empty() ? std::filesystem::path{} : folder_ / name_of(pool);
}

std::filesystem::path UseNotes::doubt_of(const std::filesystem::path& pool) const
{
    return folder_ / (".unknown-" + name_of(pool));
}

bool UseNotes::are_complete() const { return !folder_.empty() && is_there(last()); }

bool UseNotes::may_hold(const std::filesystem::path& pool) const
{
    return !are_complete() || may_be_there(of(pool)) || may_be_there(doubt_of(pool));
}

Result<> UseNotes::note(const std::filesystem::path& pool, std::string_view file_system) const
{
    if (folder_.empty()) return {};
    if (!is_there(of(pool))) {
        auto noted = kernel::make_folders(folder_, 0700);
        if (noted) noted = kernel::write_file_atomically(of(pool), file_system, 0600);
        if (!noted) {
            // A full disk still removes; the doubt, where there is one, says as much.
            if (!is_there(doubt_of(pool)) && kernel::remove_file(last()))
                (void)kernel::sync_folder(folder_);
            return noted;
        }
    }
    (void)kernel::remove_file(doubt_of(pool));  // It says no more than the note.
    return {};
}

Result<> UseNotes::complete(const std::vector<std::filesystem::path>& pools) const
{
    if (folder_.empty() || are_complete()) return {};
    TRY_DO(kernel::make_folders(folder_, 0700));
    for (const auto& pool : pools)
        if (!is_there(of(pool)) && !is_there(doubt_of(pool)))
            TRY_DO(kernel::write_file_atomically(doubt_of(pool), "", 0600));
    FP("storage.notes.complete");
    return kernel::write_file_atomically(last(), "", 0600);
}

}  // namespace znode::storage
