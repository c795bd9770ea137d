#include "status/json.hpp"

#include <google/protobuf/message.h>
#include <google/protobuf/util/json_util.h>

#include "base/text.hpp"

namespace znode::status {

namespace pb = google::protobuf;

std::string to_json(const pb::Message& message, bool pretty)
{
    pb::util::JsonPrintOptions options;
    options.preserve_proto_field_names = true;
    options.always_print_primitive_fields = true;
    options.add_whitespace = pretty;
    std::string text;
    // Only text that is no UTF-8 could fail here, and who fills a message has to keep that out.
    const auto status = pb::util::MessageToJsonString(message, &text, options);
    if (!status.ok())
        return R"({"code":"internal","message":"an answer holds bytes that are no text"})";
    return text;
}

Result<> from_json(std::string_view json, pb::Message& message)
{
    pb::util::JsonParseOptions options;
    options.ignore_unknown_fields = true;
    const auto status =
        pb::util::JsonStringToMessage({json.data(), json.size()}, &message, options);
    if (!status.ok())
        return fail(
            Errc::invalid,
            "not the JSON expected here: " + printable(status.message().as_string()));
    return {};
}

bool is_utf8(std::string_view text) noexcept
{
    auto continued = [&](std::size_t at, std::size_t count) {
        if (at + count >= text.size()) return false;
        for (std::size_t i = 1; i <= count; ++i)
            if ((static_cast<unsigned char>(text[at + i]) & 0xC0U) != 0x80U) return false;
        return true;
    };
    for (std::size_t i = 0; i < text.size();) {
        const auto first = static_cast<unsigned char>(text[i]);
        if (first < 0x80) {
            ++i;
            continue;
        }
        const std::size_t count = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
        if (first < 0xC2 || first > 0xF4 || !continued(i, count)) return false;
        const auto second = static_cast<unsigned char>(text[i + 1]);
        // Overlong forms, surrogates, and what lies above U+10FFFF.
        if ((first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) ||
            (first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F))
            return false;
        i += count + 1;
    }
    return true;
}

}  // namespace znode::status
