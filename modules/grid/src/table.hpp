#pragma once
// One table per document type: the members' names in the order of the originals, each with the
// function that reads and the one that writes it. Everything else here is generic.

#include <array>
#include <concepts>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "base/text.hpp"
#include "grid/document.hpp"
#include "grid/scalars.hpp"
#include "utf8.hpp"

namespace znode::grid {

/// Reads and writes one type of value. `null` leaves the value unset.
template <class T>
struct Codec;

/// `static constexpr std::array fields{field<&T::a>("a"), …};`
template <class T>
struct Table;

enum class Rule : std::uint8_t {
    plain,
    required,    ///< An error when absent or null.
    omit_unset,  ///< Not written while unset.
};

template <class T>
struct Field {
    std::string_view name;
    Rule rule;
    Result<> (*read)(const json::Value&, T&);
    void (*write)(std::string&, const T&);
    bool (*unset)(const T&);
};

template <class M>
struct MemberTraits;
template <class C, class M>
struct MemberTraits<M C::*> {
    using Class = C;
    using Type = M;
};

template <class M>
constexpr bool is_unset(const M& member)
{
    if constexpr (requires { member.has_value(); })
        return !member.has_value();
    else if constexpr (requires { member.is_null(); })
        return member.is_null();
    else
        return false;
}

template <auto Member, Rule R = Rule::plain>
constexpr auto field(std::string_view name)
{
    using T = typename MemberTraits<decltype(Member)>::Class;
    using M = typename MemberTraits<decltype(Member)>::Type;
    return Field<T>{
        name,
        R,
        [](const json::Value& value, T& object) { return Codec<M>::read(value, object.*Member); },
        [](std::string& out, const T& object) { Codec<M>::write(out, object.*Member); },
        [](const T& object) { return is_unset(object.*Member); }};
}

/// A member of a struct inside of T, that stands at the top of the document.
template <auto Outer, auto Inner>
constexpr auto nested(std::string_view name)
{
    using T = typename MemberTraits<decltype(Outer)>::Class;
    using M = typename MemberTraits<decltype(Inner)>::Type;
    return Field<T>{
        name,
        Rule::plain,
        [](const json::Value& value, T& object) {
            return Codec<M>::read(value, object.*Outer.*Inner);
        },
        [](std::string& out, const T& object) { Codec<M>::write(out, object.*Outer.*Inner); },
        [](const T&) { return false; }};
}

template <class T>
concept Documented = requires { Table<T>::fields; };

inline Result<> wrong_type(std::string_view wanted, const json::Value& value)
{
    return fail(
        Errc::invalid, "must be " + std::string{wanted} + ", not " + printable(value.raw, 40));
}

/// Reads the members that the table knows; the rest passes. Says whether the name was known.
template <class T>
Result<bool> read_member(const json::Member& member, T& object)
{
    for (const auto& known : Table<T>::fields) {
        if (!json::same_name(known.name, member.name)) continue;
        auto outcome = known.read(member.value, object);
        if (!outcome) return tl::unexpected(std::move(outcome).error().during(known.name));
        return true;
    }
    return false;
}

template <class T>
Result<> check_required(const json::Value& value)
{
    for (const auto& known : Table<T>::fields) {
        if (known.rule != Rule::required) continue;
        const auto* there = value.find(known.name);
        if (there == nullptr || there->is_null())
            return fail(Errc::invalid, "member " + std::string{known.name} + " is missing");
    }
    return {};
}

template <class T>
void write_members(std::string& out, const T& object)
{
    for (const auto& known : Table<T>::fields) {
        if (known.rule == Rule::omit_unset && known.unset(object)) continue;
        if (!out.ends_with('{')) out += ',';
        out += '"';
        out += known.name;
        out += "\":";
        known.write(out, object);
    }
}

template <Documented T>
struct Codec<T> {
    static Result<> read(const json::Value& value, T& object)
    {
        if (value.is_null()) return check_required<T>(value);
        if (value.kind != json::Value::Kind::object) return wrong_type("an object", value);
        for (const auto& member : value.members) TRY_DO(read_member(member, object));
        return check_required<T>(value);
    }
    static void write(std::string& out, const T& object)
    {
        out += '{';
        write_members(out, object);
        out += '}';
    }
};

template <>
struct Codec<bool> {
    static Result<> read(const json::Value& value, bool& into)
    {
        if (value.is_null()) return {};
        if (value.kind != json::Value::Kind::boolean) return wrong_type("true or false", value);
        into = value.raw == "true";
        return {};
    }
    static void write(std::string& out, bool from) { out += from ? "true" : "false"; }
};

template <std::integral T>
struct Codec<T> {
    static Result<> read(const json::Value& value, T& into)
    {
        if (value.is_null()) return {};
        if (value.kind != json::Value::Kind::number) return wrong_type("a number", value);
        const auto number = to_number<T>(value.raw);
        if (!number)
            return wrong_type(
                std::is_signed_v<T> ? "a whole number" : "a whole number, not negative", value);
        into = *number;
        return {};
    }
    static void write(std::string& out, T from) { out += std::to_string(from); }
};

template <>
struct Codec<double> {
    static Result<> read(const json::Value& value, double& into)
    {
        if (value.is_null()) return {};
        const auto number =
            value.kind == json::Value::Kind::number ? to_number<double>(value.raw) : std::nullopt;
        if (!number) return wrong_type("a number", value);
        into = *number;
        return {};
    }
    static void write(std::string& out, double from) { json::append_number(out, from); }
};

template <class T>
    requires std::is_enum_v<T>
struct Codec<T> {
    static Result<> read(const json::Value& value, T& into)
    {
        auto number = static_cast<std::underlying_type_t<T>>(into);
        TRY_DO(Codec<std::underlying_type_t<T>>::read(value, number));
        into = static_cast<T>(number);
        return {};
    }
    static void write(std::string& out, T from)
    {
        out += std::to_string(static_cast<std::underlying_type_t<T>>(from));
    }
};

template <>
struct Codec<std::string> {
    static Result<> read(const json::Value& value, std::string& into)
    {
        if (value.is_null()) return {};
        if (value.kind != json::Value::Kind::string) return wrong_type("text", value);
        into = value.text;
        return {};
    }
    static void write(std::string& out, const std::string& from) { json::append_string(out, from); }
};

/// What is text on the wire and has a parser of its own.
template <class T, auto Parse>
struct TextCodec {
    static Result<> read(const json::Value& value, T& into)
    {
        if (value.is_null()) {
            into = T{};
            return {};
        }
        if (value.kind != json::Value::Kind::string) return wrong_type("text", value);
        TRY(into, Parse(value.text));
        return {};
    }
    static void write(std::string& out, const T& from)
    {
        if constexpr (requires { from.text(); })
            json::append_string(out, from.text());
        else
            json::append_string(out, from.text);
    }
};
Result<Mac> parse_mac(std::string_view text);
template <>
struct Codec<Ip> : TextCodec<Ip, &Ip::parse> {};
template <>
struct Codec<IpRange> : TextCodec<IpRange, &IpRange::parse> {};
template <>
struct Codec<Mac> : TextCodec<Mac, &parse_mac> {};

template <>
struct Codec<Date> {
    static Result<> read(const json::Value& value, Date& into);
    static void write(std::string& out, const Date& from);
};

template <>
struct Codec<RawJson> {
    static Result<> read(const json::Value& value, RawJson& into)
    {
        into.text = value.is_null() ? std::string{} : json::compact(value.raw);
        return {};
    }
    static void write(std::string& out, const RawJson& from)
    {
        out += from.text.empty() ? std::string_view{"null"} : std::string_view{from.text};
    }
};

template <class T>
struct Codec<List<T>> {
    static Result<> read(const json::Value& value, List<T>& into)
    {
        into = List<T>{};
        if (value.is_null()) return {};
        if (value.kind != json::Value::Kind::array) return wrong_type("a list", value);
        into = List<T>::none();
        into.reserve(value.items.size());
        for (const auto& item : value.items) {
            auto outcome = Codec<T>::read(item, into.emplace_back());
            if (!outcome)
                return tl::unexpected(
                    std::move(outcome).error().during(std::to_string(into.size() - 1)));
        }
        return {};
    }
    static void write(std::string& out, const List<T>& from)
    {
        if (from.is_null()) {
            out += "null";
            return;
        }
        out += '[';
        bool first = true;
        for (const auto& item : from) {
            if (!std::exchange(first, false)) out += ',';
            Codec<T>::write(out, item);
        }
        out += ']';
    }
};

/// Written `{}` when unset: clients of the grid cannot handle the `null` of the originals.
template <>
struct Codec<std::map<std::string, std::string>> {
    using Map = std::map<std::string, std::string>;
    static Result<> read(const json::Value& value, Map& into);
    static void write(std::string& out, const Map& from);
};

template <class T>
struct Codec<std::optional<T>> {
    static Result<> read(const json::Value& value, std::optional<T>& into)
    {
        into.reset();
        if (value.is_null()) return {};
        return Codec<T>::read(value, into.emplace());
    }
    static void write(std::string& out, const std::optional<T>& from)
    {
        if (from)
            Codec<T>::write(out, *from);
        else
            out += "null";
    }
};

template <class T>
Result<T> from_json(const json::Value& value)
{
    T document{};
    TRY_DO(Codec<T>::read(value, document));
    return document;
}

template <class T>
Result<T> from_json(std::string_view text, const json::Limits& limits)
{
    TRY(const auto value, json::parse(text, limits));
    return from_json<T>(value);
}

template <class T>
std::string to_json(const T& document)
{
    std::string out;
    Codec<T>::write(out, document);
    return out;
}

template <class T>
Result<std::vector<T>> list_from_json(std::string_view text, const json::Limits& limits)
{
    TRY(const auto value, json::parse(text, limits));
    List<T> list;
    TRY_DO(Codec<List<T>>::read(value, list));
    return std::vector<T>{std::move(list)};
}

template <class T>
std::string list_to_json(const std::vector<T>& documents)
{
    std::string out = "[";
    bool first = true;
    for (const auto& document : documents) {
        if (!std::exchange(first, false)) out += ',';
        Codec<T>::write(out, document);
    }
    out += ']';
    return out;
}

/// Instantiates the public functions for a type; stands once, behind its table.
// NOLINTBEGIN(bugprone-macro-parentheses): a type in parentheses is no template argument.
#define ZNODE_DOCUMENT(T)                                                                     \
    template Result<T> from_json<T>(std::string_view, const json::Limits&);                   \
    template Result<T> from_json<T>(const json::Value&);                                      \
    template std::string to_json<T>(const T&);                                                \
    template Result<std::vector<T>> list_from_json<T>(std::string_view, const json::Limits&); \
    template std::string list_to_json<T>(const std::vector<T>&)
// NOLINTEND(bugprone-macro-parentheses)

}  // namespace znode::grid
