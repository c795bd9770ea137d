// What anybody may send to a server: HTTP requests in any pieces, and the signature in their
// headers.

#include <cstdlib>
#include <string>

#include "http/url.hpp"
#include "identity/http_signature.hpp"
#include "wire.hpp"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size)
{
    if (size < 2) return 0;
    // The first byte says in which pieces the rest arrives.
    const std::size_t step = data[0] == 0 ? size : data[0];
    const std::string_view text{reinterpret_cast<const char*>(data) + 1, size - 1};

    znode::http::RequestParser parser{4096, 65536};
    std::string inbox;
    std::size_t at = 0;
    bool refused = false;
    while (!parser.done() && !refused && (at < text.size() || !inbox.empty())) {
        const auto before = inbox.size();
        inbox.append(text.substr(at, step));
        at = std::min(at + step, text.size());
        const auto fed = parser.feed(inbox);
        if (!fed) {
            refused = true;
            const auto status = parser.refusal();
            if (status < 400 || status > 499 || fed.error().message.empty()) std::abort();
        }
        // Neither taken nor waited for: the end.
        if (at == text.size() && inbox.size() >= before) break;
    }
    if (!parser.head_done() || refused) return 0;

    const auto& request = parser.request();
    if (request.body.size() > 65536) std::abort();
    (void)znode::http::parse_target(request.target);
    znode::identity::HeaderValues headers;
    for (const auto& [name, value] : request.headers) headers.emplace_back(name, value);
    for (const auto& [name, value] : request.headers)
        (void)znode::identity::parse_authorization(value);
    const auto signer = znode::identity::verify_request(
        headers, {.window = 300, .unix_now = 1'700'000'000}, znode::identity::key_of_node_signer);
    if (!signer && signer.error().message.empty()) std::abort();
    return 0;
}
