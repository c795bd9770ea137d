#include <algorithm>

#include "base/text.hpp"
#include "grid/json.hpp"
#include "utf8.hpp"

namespace znode::grid::json {
namespace {

/// ASCII that stands for itself inside of a text.
bool is_plain(char c)
{
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x20 && byte < 0x80 && c != '"' && c != '\\';
}

/// Reads one document. Recursion is bounded by `limits.depth`.
class Reader {
public:
    Reader(std::string_view text, const Limits& limits) : text_{text}, limits_{limits} {}

    Result<Value> document()
    {
        if (text_.size() > limits_.bytes)
            return fail(
                Errc::invalid,
                "document of " + std::to_string(text_.size()) + " bytes is larger than " +
                    std::to_string(limits_.bytes));
        skip_blanks();
        if (at_ == text_.size()) return fail(Errc::invalid, "EOF");

        Value root;
        TRY_DO(value(root, 0));
        skip_blanks();
        if (!limits_.trailing && at_ != text_.size()) return wrong("text after the value");
        return root;
    }

private:
    bool done() const { return at_ == text_.size(); }
    char here() const { return done() ? '\0' : text_[at_]; }
    void skip_blanks()
    {
        while (!done() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' ||
                           text_[at_] == '\t'))
            ++at_;
    }
    tl::unexpected<Error> wrong(std::string_view what) const
    {
        if (done()) return fail(Errc::invalid, "unexpected end of JSON input");
        return fail(
            Errc::invalid,
            "JSON: " + std::string{what} + " at byte " + std::to_string(at_) + ", near '" +
                printable(text_.substr(at_, 12)) + "'");
    }

    Result<> count()
    {
        if (++values_ > limits_.values)
            return fail(
                Errc::invalid, "JSON: more than " + std::to_string(limits_.values) + " values");
        return {};
    }

    Result<> value(Value& out, std::size_t depth)
    {
        if (depth > limits_.depth)
            return fail(Errc::invalid, "JSON: nested deeper than " + std::to_string(limits_.depth));
        TRY_DO(count());
        const auto start = at_;
        switch (here()) {
            case '{':
                TRY_DO(object(out, depth));
                break;
            case '[':
                TRY_DO(array(out, depth));
                break;
            case '"':
                out.kind = Value::Kind::string;
                TRY_DO(string(out.text));
                break;
            case 't':
                TRY_DO(word(out, "true", Value::Kind::boolean));
                break;
            case 'f':
                TRY_DO(word(out, "false", Value::Kind::boolean));
                break;
            case 'n':
                TRY_DO(word(out, "null", Value::Kind::null));
                break;
            default:
                TRY_DO(number(out));
                break;
        }
        out.raw = text_.substr(start, at_ - start);
        return {};
    }

    Result<> word(Value& out, std::string_view expected, Value::Kind kind)
    {
        if (text_.substr(at_, expected.size()) != expected) return wrong("unknown word");
        at_ += expected.size();
        out.kind = kind;
        return {};
    }

    bool digits()
    {
        const auto start = at_;
        while (here() >= '0' && here() <= '9') ++at_;
        return at_ > start;
    }
    Result<> number(Value& out)
    {
        out.kind = Value::Kind::number;
        if (here() == '-') ++at_;
        if (here() == '0')
            ++at_;
        else if (!digits())
            return wrong("no value");
        if (here() == '.') {
            ++at_;
            if (!digits()) return wrong("no digit after the point");
        }
        if (here() == 'e' || here() == 'E') {
            ++at_;
            if (here() == '+' || here() == '-') ++at_;
            if (!digits()) return wrong("no digit in the exponent");
        }
        return {};
    }

    Result<> object(Value& out, std::size_t depth)
    {
        out.kind = Value::Kind::object;
        ++at_;
        skip_blanks();
        if (here() == '}') {
            ++at_;
            return {};
        }
        while (true) {
            skip_blanks();
            if (here() != '"') return wrong("no member name");
            auto& member = out.members.emplace_back();
            TRY_DO(string(member.name));
            skip_blanks();
            if (here() != ':') return wrong("no colon after a member name");
            ++at_;
            skip_blanks();
            TRY_DO(value(member.value, depth + 1));
            skip_blanks();
            const char next = here();
            if (next != ',' && next != '}') return wrong("no comma between members");
            ++at_;
            if (next == '}') return {};
        }
    }

    Result<> array(Value& out, std::size_t depth)
    {
        out.kind = Value::Kind::array;
        ++at_;
        skip_blanks();
        if (here() == ']') {
            ++at_;
            return {};
        }
        while (true) {
            skip_blanks();
            TRY_DO(value(out.items.emplace_back(), depth + 1));
            skip_blanks();
            const char next = here();
            if (next != ',' && next != ']') return wrong("no comma between elements");
            ++at_;
            if (next == ']') return {};
        }
    }

    Result<> string(std::string& out)
    {
        ++at_;
        while (true) {
            // Most of it is plain and is taken in runs.
            auto end = at_;
            while (end < text_.size() && is_plain(text_[end])) ++end;
            out.append(text_, at_, end - at_);
            at_ = end;
            if (done()) return wrong("");
            const char c = text_[at_];
            if (c == '"') {
                ++at_;
                return {};
            }
            if (static_cast<unsigned char>(c) < 0x20) return wrong("control character in a text");
            if (c == '\\') {
                TRY_DO(escape(out));
                continue;
            }
            const auto length = utf8_length(text_.substr(at_));
            if (length == 0)
                append_utf8(out, replacement_character);
            else
                out.append(text_, at_, length);
            at_ += std::max<std::size_t>(length, 1);
        }
    }

    Result<> escape(std::string& out)
    {
        ++at_;
        const char c = here();
        static constexpr std::string_view plain = "\"\\/bfnrt";
        static constexpr std::string_view meant = "\"\\/\b\f\n\r\t";
        if (const auto place = plain.find(c); !done() && place != plain.npos) {
            out += meant[place];
            ++at_;
            return {};
        }
        if (c != 'u') return wrong("unknown escape");
        ++at_;
        TRY(auto code, hex4());
        const bool high = code >= 0xD800 && code < 0xDC00;
        if (high && text_.substr(at_, 2) == "\\u") {
            const auto before = at_;
            at_ += 2;
            TRY(const auto low, hex4());
            if (low >= 0xDC00 && low < 0xE000) {
                append_utf8(out, 0x10000 + ((code - 0xD800) << 10U) + (low - 0xDC00));
                return {};
            }
            at_ = before;
        }
        if (code >= 0xD800 && code < 0xE000) code = replacement_character;
        append_utf8(out, code);
        return {};
    }

    Result<std::uint32_t> hex4()
    {
        std::uint32_t code = 0;
        for (int i = 0; i < 4; ++i, ++at_) {
            const char c = here();
            code <<= 4U;
            if (c >= '0' && c <= '9')
                code += static_cast<std::uint32_t>(c - '0');
            else if (c >= 'a' && c <= 'f')
                code += static_cast<std::uint32_t>(c - 'a' + 10);
            else if (c >= 'A' && c <= 'F')
                code += static_cast<std::uint32_t>(c - 'A' + 10);
            else
                return wrong("escape without four hex digits");
        }
        return code;
    }

    std::string_view text_;
    const Limits& limits_;
    std::size_t at_ = 0;
    std::size_t values_ = 0;
};

}  // namespace

const Value* Value::find(std::string_view name) const noexcept
{
    for (auto member = members.rbegin(); member != members.rend(); ++member) {
        if (same_name(member->name, name)) return &member->value;
    }
    return nullptr;
}

Result<Value> parse(std::string_view text, const Limits& limits)
{
    return Reader{text, limits}.document();
}

}  // namespace znode::grid::json
