// Any method, path and body to an explorer: an answer with a status that HTTP knows, and errors
// with a reason. Signatures are not asked for where the originals did not.

#include <cstdlib>
#include <filesystem>

#include "core.hpp"
#include "temp_folder.hpp"

namespace {

using namespace znode;

struct Explorer {
    Explorer()
    {
        explorer_server::Options options{.data = folder.path() / "explorer", .hub = {}};
        options.lenient = true;
        auto opened = explorer_server::Core::open(options, silent_log());
        if (!opened) std::abort();
        core = *std::move(opened);
        // Many small changes, none of which has to survive.
        (void)core->db.script("PRAGMA synchronous = OFF");
    }
    test::TempFolder folder;
    std::unique_ptr<explorer_server::Core> core;
};

}  // namespace

/// The first byte is the method, the first line the target, the rest the body.
extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size)
{
    static Explorer explorer;
    if (size < 2) return 0;
    const std::string_view text{reinterpret_cast<const char*>(data) + 1, size - 1};
    const auto line = std::min(text.find('\n'), text.size());
    constexpr std::array methods{
        http::Method::get, http::Method::post, http::Method::put, http::Method::del};
    const http::Request request{
        .method = methods[data[0] % methods.size()],
        .target = "/" + std::string{text.substr(0, line)},
        .body = std::string{text.substr(std::min(line + 1, text.size()))}};
    const auto reply = explorer.core->handle(request, 1'700'000'000);
    if (reply.status < 200 || reply.status > 599 || reply.status == 503) std::abort();
    if (reply.headers.get("Content-Type") == "application/json" && reply.status >= 400 &&
        !reply.body.starts_with("{\"error\":\""))
        std::abort();
    return 0;
}
