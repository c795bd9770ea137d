#include "store.hpp"

#include <unistd.h>

#include <algorithm>

#include "base/hex.hpp"
#include "base/text.hpp"
#include "kernel/files.hpp"

namespace znode::flist {
namespace {

/// A folder with a file per block, named by the id in hex; what a hub can serve as it is.
class FolderStore : public BlockStore {
public:
    explicit FolderStore(std::string folder) : folder_{std::move(folder)} {}

    Result<std::string> get(std::string_view id) override
    {
        auto direct = kernel::read_file(path(id), limit);
        if (direct || direct.error().code != Errc::not_found) return direct;
        return kernel::read_file(nested_path(id), limit);
    }
    Result<> put(std::string_view id, std::string_view stored) override
    {
        TRY(const bool there, has(id));
        if (there) return {};
        TRY_DO(kernel::make_folders(folder_));
        return kernel::write_file_atomically(path(id), stored, 0644);
    }
    Result<bool> has(std::string_view id) override
    {
        std::error_code ignored;
        return std::filesystem::exists(path(id), ignored) ||
               std::filesystem::exists(nested_path(id), ignored);
    }
    std::string text() const override { return "dir://" + folder_; }

private:
    static constexpr std::size_t limit = std::size_t{2} << 20U;

    std::filesystem::path path(std::string_view id) const
    {
        return std::filesystem::path{folder_} / to_hex(id);
    }
    std::filesystem::path nested_path(std::string_view id) const
    {
        return std::filesystem::path{folder_} / to_hex(id.substr(0, 1)) / to_hex(id);
    }

    std::string folder_;
};

Result<std::string> percent_decode(std::string_view text)
{
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            out += text[i];
            continue;
        }
        auto byte = from_hex(text.substr(i + 1, 2));
        if (!byte || byte->size() != 1) return fail(Errc::invalid, "a % needs two hex digits");
        out += *byte;
        i += 2;
    }
    // They would speak to a server in our name, or break a log.
    const auto is_control = [](char c) {
        return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    };
    if (std::ranges::any_of(out, is_control))
        return fail(Errc::invalid, "control characters have no place in a store's URL");
    return out;
}

constexpr std::string_view form = "[[user][:password]@]host[:port][/namespace]";

}  // namespace

std::unique_ptr<BlockStore> make_folder_store(std::string folder)
{
    return std::make_unique<FolderStore>(std::move(folder));
}

Result<RedisAddress> parse_redis_address(std::string_view url)
{
    RedisAddress address;
    const auto scheme_end = url.find("://");
    address.zdb = url.substr(0, scheme_end) != "redis";
    auto rest = url.substr(scheme_end + 3);
    const std::string scheme{url.substr(0, scheme_end)};

    if (const auto at = rest.rfind('@'); at != std::string_view::npos) {
        const auto login = rest.substr(0, at);
        const auto colon = login.find(':');
        TRY(auto user, percent_decode(login.substr(0, colon)));
        address.user = Secret{std::move(user)};
        if (colon != std::string_view::npos) {
            TRY(auto password, percent_decode(login.substr(colon + 1)));
            address.password = Secret{std::move(password)};
        }
        rest = rest.substr(at + 1);
    }
    if (rest.starts_with('/')) {  // No host: a unix socket.
        address.host = rest;
        return address;
    }
    if (const auto slash = rest.find('/'); slash != std::string_view::npos) {
        TRY(address.space, percent_decode(rest.substr(slash + 1)));
        rest = rest.substr(0, slash);
    }
    if (rest.starts_with('[')) {
        const auto end = rest.find(']');
        if (end == std::string_view::npos)
            return fail(Errc::invalid, scheme + " URL: the [ has no ]");
        address.host = rest.substr(1, end - 1);
        rest = rest.substr(end + 1);
    } else {
        const auto colon = rest.rfind(':');
        address.host = rest.substr(0, colon);
        rest = colon == std::string_view::npos ? std::string_view{} : rest.substr(colon);
    }
    address.port = address.zdb ? "9900" : "6379";
    if (rest.starts_with(':')) address.port = rest.substr(1);
    const auto port = to_number<std::uint16_t>(address.port);
    if (address.host.empty() || !port || *port == 0)
        return fail(Errc::invalid, scheme + " URL: expected " + scheme + "://" + std::string{form});
    return address;
}

Result<std::unique_ptr<BlockStore>> open_store(
    const Secret& secret, std::chrono::milliseconds patience, Reach reach)
{
    const auto url = secret.reveal();
    if (reach == Reach::anywhere && url.starts_with("dir://") && url.size() > 6)
        return make_folder_store(std::string{url.substr(6)});
    if (url.starts_with("zdb://") || url.starts_with("ardb://") || url.starts_with("redis://")) {
        TRY(auto address, parse_redis_address(url));
        address.reach = reach;
        return make_redis_store(std::move(address), patience);
    }
    return fail(
        Errc::invalid,
        "store URL: expected zdb://" + std::string{form} + ", redis://…, or dir:///path");
}

Result<Secret> store_url(std::string_view argument)
{
    if (!argument.starts_with('@')) return Secret{std::string{argument}};

    const auto source = argument.substr(1);
    std::string text;
    if (source.starts_with("FD:")) {
        const auto number = to_number<int>(source.substr(3));
        if (!number) return fail(Errc::invalid, "--store @FD:N: N is no descriptor");
        const kernel::Fd fd{*number};
        char buffer[4096];
        for (;;) {
            const auto got =
                kernel::retry_eintr([&] { return ::read(fd.get(), buffer, sizeof buffer); });
            const int err = error_of(got);
            if (err) return fail_errno(err, "read the store's URL");
            if (got == 0 || text.size() > sizeof buffer) break;
            text.append(buffer, static_cast<std::size_t>(got));
        }
    } else {
        TRY(text, kernel::read_file(std::string{source}, 8192));
    }
    Secret url{std::string{trim(std::string_view{text}.substr(0, text.find('\n')))}};
    wipe(text);
    if (url.empty()) return fail(Errc::invalid, "--store " + std::string{argument} + " is empty");
    return url;
}

}  // namespace znode::flist
