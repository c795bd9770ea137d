#include <fcntl.h>
#include <unistd.h>

#include "base/text.hpp"
#include "http/client.hpp"
#include "kernel/fd.hpp"
#include "kernel/files.hpp"

namespace znode::http {

Task<Result<std::uint64_t>> download(Client* client, Request request, DownloadSpec spec)
{
    const auto intent = "download " + printable(request.target) + " to " + spec.path.string();
    auto file =
        kernel::open_file(spec.path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
    if (!file) co_return tl::unexpected(std::move(file).error().during(intent));

    std::uint64_t size = 0;
    ChunkSink sink = [&spec, &size, fd = file->get()](std::string_view piece) -> Result<> {
        if (piece.size() > spec.limit - size)
            return fail(
                Errc::exhausted, "it is larger than the limit of " + format_size(spec.limit));
        TRY_DO(kernel::write_all(fd, piece));
        size += piece.size();
        if (spec.observe) spec.observe(piece);
        return {};
    };
    auto reply = co_await client->fetch(std::move(request), std::move(sink));
    auto outcome = [&]() -> Result<std::uint64_t> {
        if (!reply) return tl::unexpected(std::move(reply).error());
        if (reply->status == 404) return fail(Errc::not_found, "the server does not have it (404)");
        if (reply->status < 200 || reply->status > 299)
            return fail(Errc::unavailable, "the server answered " + std::to_string(reply->status));
        const int err = error_of(::fdatasync(file->get()));
        if (err) return fail_errno(err, "sync");
        return size;
    }();
    if (outcome) co_return outcome;
    (void)kernel::remove_file(spec.path);  // The failure that counts is the first one.
    co_return tl::unexpected(std::move(outcome).error().during(intent));
}

}  // namespace znode::http
