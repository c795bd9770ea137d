#include "downloads.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <memory>
#include <vector>

#include <boost/asio/buffer.hpp>
#include <openssl/evp.h>

#include "base/failpoint.hpp"
#include "base/hex.hpp"
#include "base/text.hpp"
#include "flist/block.hpp"
#include "http/client.hpp"
#include "kernel/fd.hpp"
#include "kernel/files.hpp"

namespace znode::flist {
namespace {

namespace fs = std::filesystem;

struct FreeDigest {
    void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
};

/// MD5 as hubs announce it: guards against accidents, not against forgers.
class Md5 {
public:
    Md5() : context_{EVP_MD_CTX_new()} { EVP_DigestInit_ex(context_.get(), EVP_md5(), nullptr); }
    void add(std::string_view bytes)
    {
        EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size());
    }
    std::string hex()
    {
        std::string digest(16, '\0');
        EVP_DigestFinal_ex(
            context_.get(), reinterpret_cast<unsigned char*>(digest.data()), nullptr);
        return to_hex(digest);
    }

private:
    std::unique_ptr<EVP_MD_CTX, FreeDigest> context_;
};

Result<std::string> md5_of(const std::filesystem::path& path)
{
    TRY(const auto file, kernel::open_file(path.string(), O_RDONLY));
    Md5 sum;
    std::string buffer(std::size_t{256} << 10U, '\0');
    for (off_t at = 0;;) {
        TRY(const auto got, kernel::pread_full(file.get(), buffer, at));
        sum.add(std::string_view{buffer}.substr(0, got));
        if (got < buffer.size()) return sum.hex();
        at += static_cast<off_t>(got);
    }
}

bool is_md5(std::string_view text)
{
    return text.size() == 32 &&
           text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::string target_of(const http::Url& url)
{
    return (url.path.empty() ? "/" : url.path) + (url.query.empty() ? "" : "?" + url.query);
}

Result<http::Url> url_of(const std::string& text)
{
    TRY(auto url, http::parse_url(text));
    if (url.scheme != "http" && url.scheme != "https")
        return fail(
            Errc::invalid, "flists come by http:// or https://, not by " + url.scheme + "://");
    return url;
}

/// A client of the server alone: the path is part of each request.
std::unique_ptr<http::Client> client_of(
    asio::io_context& loop, http::Url url, const std::string& ca_file, Duration patience)
{
    url.path.clear();
    url.query.clear();
    http::ClientOptions options;
    options.timeout = patience;
    options.body_limit = 4096;
    options.ca_file = ca_file;
    options.redirects = 5;
    return http::make_client(loop, std::move(url), std::move(options));
}

}  // namespace

Downloads::Downloads(
    asio::io_context& loop,
    Blocking& lane,
    std::filesystem::path folder,
    std::uint64_t limit,
    std::string ca_file,
    Log log)
    : loop_{loop},
      lane_{lane},
      folder_{std::move(folder)},
      limit_{limit},
      ca_file_{std::move(ca_file)},
      log_{std::move(log)}
{
}

std::filesystem::path Downloads::file_of(const std::string& md5) const
{
    return folder_ / (md5 + ".flist");
}

std::filesystem::path Downloads::note_of(const std::string& url) const
{
    return folder_ / ("url-" + to_hex(blake2b(url)));
}

Task<Result<LocalFlist>> Downloads::get(std::string url, std::optional<std::string> md5)
{
    CO_TRY_DO(url_of(url));
    CO_TRY_DO(kernel::make_folders(folder_, 0700));

    auto expected = md5;
    if (!expected) {
        auto said = co_await announced(url);
        if (!said) co_return co_await remembered(url, std::move(said).error());
        expected = *said;
    }
    if (expected) {
        auto found = co_await local(*expected);
        if (found) co_return found;
    }
    auto fetched = co_await download(url, expected);
    if (!fetched && fetched.error().code != Errc::corrupt && !md5)
        co_return co_await remembered(url, std::move(fetched).error());
    co_return fetched;
}

/// The hub's own hash; nothing when it has none to offer. Fails only when the hub does not answer.
Task<Result<std::optional<std::string>>> Downloads::announced(std::string url)
{
    CO_TRY(auto where, url_of(url));
    const auto client = client_of(loop_, where, ca_file_, std::chrono::seconds{10});
    http::Request request;
    where.path += ".md5";
    request.target = target_of(where);
    CO_TRY(const auto reply, co_await client->send(std::move(request)));
    if (reply.status >= 500)
        co_return fail(Errc::unavailable, "the hub answers " + std::to_string(reply.status));
    const auto text = trim(reply.body);
    if (reply.status != 200 || !is_md5(text)) co_return std::nullopt;
    co_return std::string{text};
}

Task<Result<LocalFlist>> Downloads::local(std::string md5)
{
    if (!is_md5(md5)) co_return fail(Errc::invalid, printable(md5, 40) + " is no md5");
    const auto path = file_of(md5);
    auto real = co_await lane_.run([&] { return md5_of(path); });
    if (!real) co_return tl::unexpected(std::move(real).error());
    if (*real != md5) {
        log_->warn("cached flist is damaged and fetched again md5={}", md5);
        (void)kernel::remove_file(path);  // What cannot be removed is replaced below.
        co_return fail(Errc::corrupt, "damaged");
    }
    (void)::utimensat(AT_FDCWD, path.c_str(), nullptr, 0);  // Used now; a lost mark is harmless.
    co_return LocalFlist{path, md5};
}

Task<Result<LocalFlist>> Downloads::download(std::string url, std::optional<std::string> expected)
{
    CO_TRY(const auto where, url_of(url));
    const auto client = client_of(loop_, where, ca_file_, std::chrono::seconds{120});
    Md5 sum;
    http::DownloadSpec spec;
    spec.path = folder_ / ("tmp." + std::to_string(::getpid()) + "." + std::to_string(++counter_));
    spec.limit = limit_;
    spec.observe = [&sum](std::string_view piece) { sum.add(piece); };
    const auto aside = spec.path;
    http::Request request;
    request.target = target_of(where);
    auto got = co_await http::download(client.get(), std::move(request), std::move(spec));
    if (!got) co_return tl::unexpected(std::move(got).error().during("download " + where.text()));

    const auto md5 = sum.hex();
    if (expected && md5 != *expected) {
        (void)kernel::remove_file(aside);  // A leftover is harmless.
        co_return fail(
            Errc::corrupt,
            "download " + where.text() + ": its md5 is " + md5 + ", announced was " + *expected);
    }
    CO_FP("flist.download.rename");
    const int err = error_of(::rename(aside.c_str(), file_of(md5).c_str()));
    if (err) co_return fail_errno(err, "keep " + file_of(md5).string());
    CO_TRY_DO(kernel::write_file_atomically(note_of(url), md5, 0600));
    log_->info("flist downloaded url={} md5={} bytes={}", where.text(), md5, *got);
    co_return LocalFlist{file_of(md5), md5};
}

namespace {

/// "tmp.<pid>.<n>" of a process that is gone, or that had our number before us.
bool is_abandoned(std::string_view name)
{
    const auto parts = split(name, '.');
    if (parts.size() != 3 || parts[0] != "tmp") return false;
    const auto pid = to_number<int>(parts[1]);
    return pid && (*pid == ::getpid() || (::kill(*pid, 0) < 0 && errno == ESRCH));
}

}  // namespace

void Downloads::drop(const std::set<std::string>& used, std::uint64_t limit) const
{
    struct Known {
        fs::file_time_type time;
        std::uint64_t bytes;
        fs::path path;
    };
    std::vector<Known> unused;
    std::vector<fs::path> notes;
    std::uint64_t total = 0;
    const auto young = fs::file_time_type::clock::now() - std::chrono::hours{1};
    std::error_code ec;  // What cannot be read or removed now is there the next time.
    for (const auto& entry : fs::directory_iterator{folder_, ec}) {
        const auto& path = entry.path();
        const std::string name = path.filename();
        if (counter_ == 0 && is_abandoned(name)) fs::remove(path, ec);
        if (name.starts_with("url-")) notes.push_back(path);
        if (path.extension() != ".flist") continue;
        Known known{entry.last_write_time(ec), entry.file_size(ec), path};
        if (ec) continue;
        total += known.bytes;
        if (!used.contains(path.stem()) && known.time < young) unused.push_back(std::move(known));
    }
    std::ranges::sort(unused, {}, &Known::time);
    for (const auto& known : unused) {
        if (total <= limit) break;
        if (!fs::remove(known.path, ec)) continue;
        total -= known.bytes;
        fs::remove(fs::path{known.path}.replace_extension(".info"), ec);
        log_->info("unused flist dropped md5={}", known.path.stem().string());
    }
    for (const auto& note : notes) {
        const auto md5 = kernel::read_file(note, 64);
        if (md5 && !fs::exists(file_of(*md5), ec) && !ec) fs::remove(note, ec);
    }
}

/// Offline: what this URL gave the last time is better than nothing.
Task<Result<LocalFlist>> Downloads::remembered(std::string url, Error why)
{
    if (why.code == Errc::not_found || why.code == Errc::exhausted)
        co_return tl::unexpected(std::move(why));
    const auto note = kernel::read_file(note_of(url), 64);
    if (!note) co_return tl::unexpected(std::move(why));
    auto found = co_await local(*note);
    if (!found) co_return tl::unexpected(std::move(why));
    log_->warn("hub does not answer, known flist used md5={} error={}", found->md5, why.message);
    co_return found;
}

}  // namespace znode::flist
