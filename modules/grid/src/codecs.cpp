#include <cmath>

#include "table.hpp"

namespace znode::grid {

Result<> Codec<Date>::read(const json::Value& value, Date& into)
{
    using Kind = json::Value::Kind;
    if (value.kind == Kind::string) {
        TRY(into, parse_date(value.text));
        return {};
    }
    if (value.kind != Kind::number) return wrong_type("a date", value);
    if (const auto whole = to_number<std::int64_t>(value.raw)) {
        into.unix = *whole;
        return {};
    }
    const auto number = to_number<double>(value.raw);
    if (!number || std::fabs(*number) >= 9.2e18) return wrong_type("a date", value);
    into.unix = static_cast<std::int64_t>(*number);
    return {};
}

void Codec<Date>::write(std::string& out, const Date& from)
{
    out += std::to_string(from.is_set() ? from.unix : 0);
}

Result<> Codec<std::map<std::string, std::string>>::read(const json::Value& value, Map& into)
{
    if (value.is_null()) {
        into.clear();
        return {};
    }
    if (value.kind != json::Value::Kind::object) return wrong_type("an object", value);
    for (const auto& member : value.members) {
        auto& text = into[member.name];
        text.clear();
        auto outcome = Codec<std::string>::read(member.value, text);
        if (!outcome)
            return tl::unexpected(std::move(outcome).error().during(printable(member.name)));
    }
    return {};
}

void Codec<std::map<std::string, std::string>>::write(std::string& out, const Map& from)
{
    out += '{';
    bool first = true;
    for (const auto& [key, text] : from) {
        if (!std::exchange(first, false)) out += ',';
        json::append_string(out, key);
        out += ':';
        json::append_string(out, text);
    }
    out += '}';
}

}  // namespace znode::grid
