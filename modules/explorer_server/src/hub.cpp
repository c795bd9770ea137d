#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <vector>

#include <openssl/evp.h>

#include "base/hex.hpp"
#include "base/text.hpp"
#include "core.hpp"
#include "grid/json.hpp"
#include "kernel/files.hpp"

namespace znode::explorer_server {
namespace {

namespace fs = std::filesystem;

/// Larger ones are read while they are sent.
constexpr std::int64_t read_at_once = std::int64_t{256} << 10U;
constexpr std::size_t most_digests = 10'000;

/// A name that can neither leave its folder nor hide in it.
bool is_plain_name(std::string_view name)
{
    return !name.empty() && name.size() <= 200 && name[0] != '.' &&
           std::ranges::all_of(name, [](char c) {
               return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                      c == '.' || c == '-' || c == '_';
           });
}

tl::unexpected<Refusal> nothing_there()
{
    return refuse(404, "404 page not found\n", Refusal::Form::plain);
}

std::string md5_of(std::string_view bytes)
{
    std::string digest(EVP_MAX_MD_SIZE, '\0');
    unsigned length = 0;
    // NOLINTNEXTLINE: the library's type of bytes.
    auto* out = reinterpret_cast<unsigned char*>(digest.data());
    if (EVP_Digest(bytes.data(), bytes.size(), out, &length, EVP_md5(), nullptr) != 1) return {};
    digest.resize(length);
    return to_hex(digest);
}

struct Flist {
    fs::path path;
    kernel::Fd file;
    struct stat info{};
};

Answer<Flist> open_flist(Core& core, std::string_view user, std::string_view name)
{
    if (!is_plain_name(user) || !is_plain_name(name) || !name.ends_with(".flist"))
        return nothing_there();
    Flist flist{.path = core.options.hub / user / name, .file = {}};
    auto file = kernel::open_file(flist.path.string(), O_RDONLY | O_NONBLOCK);
    if (!file && file.error().code == Errc::not_found) return nothing_there();
    if (!file) return refuse(500, file.error().message);
    flist.file = *std::move(file);
    if (::fstat(flist.file.get(), &flist.info) < 0 || !S_ISREG(flist.info.st_mode))
        return nothing_there();
    return flist;
}

/// The same as md5_of, without the whole of it in memory.
Answer<std::string> digest_of_file(int file)
{
    const std::unique_ptr<EVP_MD_CTX, decltype([](EVP_MD_CTX* it) { EVP_MD_CTX_free(it); })>
        context{EVP_MD_CTX_new()};
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned length = 0;
    std::string piece(std::size_t{256} << 10U, '\0');
    bool good = EVP_DigestInit_ex(context.get(), EVP_md5(), nullptr) == 1;
    for (off_t offset = 0; good;) {
        const auto got =
            kernel::retry_eintr([&] { return ::pread(file, piece.data(), piece.size(), offset); });
        if (got < 0) return refuse(500, "the flist can't be read");
        if (got == 0) break;
        good = EVP_DigestUpdate(context.get(), piece.data(), static_cast<std::size_t>(got)) == 1;
        offset += got;
    }
    if (!good || EVP_DigestFinal_ex(context.get(), digest.data(), &length) != 1)
        return refuse(500, "MD5 is not to be had");
    return to_hex(std::string{digest.begin(), digest.begin() + length});
}

/// Computed once for a file, as long as it does not change.
Answer<std::string> md5_of(Core& core, const Flist& flist)
{
    const std::int64_t size = flist.info.st_size;
    const auto changed =
        std::int64_t{flist.info.st_mtim.tv_sec} * 1'000'000'000 + flist.info.st_mtim.tv_nsec;
    const auto known = core.digests.find(flist.path.string());
    if (known != core.digests.end() && known->second.size == size &&
        known->second.changed == changed)
        return known->second.md5;
    TRY(auto md5, digest_of_file(flist.file.get()));
    if (core.digests.size() >= most_digests) core.digests.clear();
    core.digests[flist.path.string()] = {.size = size, .changed = changed, .md5 = md5};
    return md5;
}

Answer<std::string> content_of(const Flist& flist)
{
    std::string bytes(static_cast<std::size_t>(flist.info.st_size), '\0');
    std::size_t done = 0;
    while (done < bytes.size()) {
        const auto got = kernel::retry_eintr([&] {
            return ::pread(
                flist.file.get(), &bytes[done], bytes.size() - done, static_cast<off_t>(done));
        });
        if (got <= 0) return refuse(500, "the flist can't be read");
        done += static_cast<std::size_t>(got);
    }
    return bytes;
}

std::string entry_json(const fs::directory_entry& entry)
{
    struct stat info{};
    (void)::stat(entry.path().c_str(), &info);  // Gone meanwhile: a time of 0.
    std::string json = "{\"name\":";
    grid::json::append_string(json, entry.path().filename().string());
    json += ",\"type\":\"regular\",\"target\":\"\",\"updated\":" + std::to_string(info.st_mtime);
    return json;
}

}  // namespace

Answer<> hub_alive(Core& core, Call&)
{
    std::vector<std::string> found;
    std::error_code broken;
    for (const auto& user : fs::directory_iterator{core.options.hub, broken}) {
        std::error_code ignored;
        if (!user.is_directory(ignored)) continue;
        for (const auto& file : fs::directory_iterator{user.path(), ignored})
            if (file.path().extension() == ".flist")
                found.push_back(
                    user.path().filename().string() + "/" + file.path().filename().string());
    }
    std::ranges::sort(found);
    std::string json = "[";
    for (const auto& name : found) {
        if (json.size() > 1) json += ',';
        grid::json::append_string(json, name);
    }
    return json_reply(200, json + "]");
}

Answer<> hub_list(Core& core, Call& call)
{
    if (!is_plain_name(call.part(0))) return nothing_there();
    std::vector<fs::directory_entry> files;
    std::error_code missing;
    for (const auto& file : fs::directory_iterator{core.options.hub / call.part(0), missing})
        if (file.path().extension() == ".flist") files.push_back(file);
    if (missing) return nothing_there();
    std::ranges::sort(files);
    std::string json = "[";
    for (const auto& file : files) {
        if (json.size() > 1) json += ',';
        json += entry_json(file) + "}";
    }
    return json_reply(200, json + "]");
}

Answer<> hub_light(Core& core, Call& call)
{
    TRY(const auto flist, open_flist(core, call.part(0), call.part(1)));
    TRY(const auto md5, md5_of(core, flist));
    return json_reply(
        200,
        entry_json(fs::directory_entry{flist.path}) + ",\"md5\":\"" + md5 +
            "\",\"size\":" + std::to_string(flist.info.st_size) + "}");
}

Answer<> hub_get(Core& core, Call& call)
{
    auto name = call.part(1);
    const bool wants_md5 = name.ends_with(".md5");
    if (wants_md5) name.remove_suffix(4);
    TRY(auto flist, open_flist(core, call.part(0), name));
    http::Reply reply;
    if (wants_md5) {
        TRY(const auto md5, md5_of(core, flist));
        reply.body = md5 + "\n";
        reply.headers.add("Content-Type", "text/plain; charset=utf-8");
        return reply;
    }
    reply.headers.add("Content-Type", "application/octet-stream");
    if (flist.info.st_size <= read_at_once) {
        TRY(reply.body, content_of(flist));
    } else {
        reply.stream_length = static_cast<std::uint64_t>(flist.info.st_size);
        core.opened.emplace(std::move(flist.file));
    }
    return reply;
}

Answer<> hub_put(Core& core, Call& call)
{
    TRY(const auto signer, signing_user(core, call));
    TRY(const auto user, core.user(signer));
    const auto& folder = call.parts[0];
    const auto& name = call.parts[1];
    if (!user || (user->name != folder && user->name != folder + ".3bot"))
        return refuse(403, "only " + printable(folder) + " can publish there");
    if (!is_plain_name(folder) || folder == "api" || folder == "explorer")
        return refuse(400, "'" + printable(folder) + "' can't be the name of a repository");
    if (!is_plain_name(name) || !name.ends_with(".flist"))
        return refuse(400, "a flist's name has letters, digits and .-_ and ends in .flist");
    if (call.request.body.empty()) return refuse(400, "the flist is empty");
    TRY(const auto owner,
        core.db.integer("SELECT user FROM hub_folder WHERE folder = ?", {folder}));
    if (owner && *owner != signer)
        return refuse(403, printable(folder) + " is another user's, who published there first");
    if (!owner)
        TRY_DO(
            core.db.run("INSERT INTO hub_folder (folder, user) VALUES (?, ?)", {folder, signer}));

    TRY_DO(kernel::make_folders(core.options.hub / folder));
    TRY_DO(
        kernel::write_file_atomically(core.options.hub / folder / name, call.request.body, 0644));
    core.log->info("flist published name={}/{} bytes={}", folder, name, call.request.body.size());
    std::string json = "{\"status\":\"success\",\"name\":";
    grid::json::append_string(json, folder + "/" + name);
    return json_reply(201, json + ",\"md5\":\"" + md5_of(call.request.body) + "\"}");
}

}  // namespace znode::explorer_server
