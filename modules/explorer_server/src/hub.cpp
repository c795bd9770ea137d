#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
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

constexpr std::size_t flist_limit = std::size_t{256} << 20U;

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

Answer<std::string> read_flist(Core& core, std::string_view user, std::string_view name)
{
    if (!is_plain_name(user) || !is_plain_name(name) || !name.ends_with(".flist"))
        return nothing_there();
    auto bytes = kernel::read_file(core.options.hub / user / name, flist_limit);
    if (!bytes && bytes.error().code == Errc::not_found) return nothing_there();
    if (!bytes) return refuse(500, bytes.error().message);
    return *std::move(bytes);
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
    TRY(const auto bytes, read_flist(core, call.part(0), call.part(1)));
    const fs::directory_entry entry{core.options.hub / call.part(0) / call.part(1)};
    return json_reply(
        200,
        entry_json(entry) + ",\"md5\":\"" + md5_of(bytes) +
            "\",\"size\":" + std::to_string(bytes.size()) + "}");
}

Answer<> hub_get(Core& core, Call& call)
{
    auto name = call.part(1);
    const bool wants_md5 = name.ends_with(".md5");
    if (wants_md5) name.remove_suffix(4);
    TRY(auto bytes, read_flist(core, call.part(0), name));
    http::Reply reply;
    if (wants_md5) {
        reply.body = md5_of(bytes) + "\n";
        reply.headers.add("Content-Type", "text/plain; charset=utf-8");
    } else {
        reply.body = std::move(bytes);
        reply.headers.add("Content-Type", "application/octet-stream");
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

    TRY_DO(kernel::make_folders(core.options.hub / folder));
    TRY_DO(
        kernel::write_file_atomically(core.options.hub / folder / name, call.request.body, 0644));
    core.log->info("flist published name={}/{} bytes={}", folder, name, call.request.body.size());
    std::string json = "{\"status\":\"success\",\"name\":";
    grid::json::append_string(json, folder + "/" + name);
    return json_reply(201, json + ",\"md5\":\"" + md5_of(call.request.body) + "\"}");
}

}  // namespace znode::explorer_server
