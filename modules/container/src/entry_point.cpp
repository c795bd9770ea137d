#include "container/entry_point.hpp"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <system_error>

// The packaged library throws; its header alone can be told not to.
#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include "base/text.hpp"

namespace znode::container {
namespace {

constexpr std::size_t startup_limit = std::size_t{64} << 10U;
/// The parser nests a table for each dot of a key, without a limit, and tables end recursively.
constexpr std::ptrdiff_t startup_dots = 1024;

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/// Reads one word from `text` at `at`, which is no blank.
Result<std::string> read_word(std::string_view text, std::size_t& at)
{
    std::string word;
    char quote = 0;
    for (; at < text.size(); ++at) {
        const char c = text[at];
        if (quote == '\'') {
            if (c == '\'')
                quote = 0;
            else
                word += c;
            continue;
        }
        if (c == '\\') {
            if (at + 1 == text.size())
                return fail(Errc::invalid, "invalid entry point: it ends with a backslash");
            const char next = text[at + 1];
            // Inside of double quotes a backslash protects few characters and stays before others.
            if (quote == '"' && next != '"' && next != '\\' && next != '$' && next != '`' &&
                next != '\n')
                word += c;
            ++at;
            if (next != '\n') word += next;
            continue;
        }
        if (quote == '"') {
            if (c == '"')
                quote = 0;
            else
                word += c;
            continue;
        }
        if (is_blank(c)) break;
        if (c == '"' || c == '\'')
            quote = c;
        else
            word += c;
    }
    if (quote != 0)
        return fail(Errc::invalid, std::string{"invalid entry point: a "} + quote + " has no end");
    return word;
}

}  // namespace

Result<std::vector<std::string>> split_words(std::string_view entry_point)
{
    if (entry_point.find('\0') != std::string_view::npos)
        return fail(Errc::invalid, "invalid entry point: it has a zero byte");
    std::vector<std::string> words;
    std::size_t at = 0;
    while (at < entry_point.size()) {
        if (is_blank(entry_point[at])) {
            ++at;
        } else if (entry_point[at] == '#') {
            while (at < entry_point.size() && entry_point[at] != '\n') ++at;
        } else {
            TRY(auto word, read_word(entry_point, at));
            words.push_back(std::move(word));
        }
    }
    if (words.empty() || words.front().empty())
        return fail(Errc::invalid, "invalid entry point: it names no program");
    return words;
}

Result<Startup> parse_startup(std::string_view text)
{
    if (text.size() > startup_limit || std::ranges::count(text, '.') > startup_dots)
        return fail(
            Errc::invalid,
            ".startup.toml is larger than 64 KiB or has more than " + std::to_string(startup_dots) +
                " dots");
    const auto parsed = toml::parse(text);
    if (!parsed) {
        const auto& error = parsed.error();
        return fail(
            Errc::invalid,
            ".startup.toml line " + std::to_string(error.source().begin.line) + ": " +
                std::string{error.description()});
    }
    Startup startup;
    const auto entry = parsed.table()["startup"]["entry"];
    const auto kind = entry["name"].value<std::string>().value_or("");
    const auto args = entry["args"];
    if (kind != "core.system" && kind != "core.base") return startup;

    if (const auto program = args["name"].value<std::string>(); program && !program->empty())
        startup.argv.push_back(*program);
    if (const auto* list = args["args"].as_array())
        for (const auto& word : *list)
            if (const auto value = word.value<std::string>()) startup.argv.push_back(*value);
    startup.folder = args["dir"].value<std::string>().value_or("");
    if (const auto* table = args["env"].as_table())
        for (const auto& [name, node] : *table)
            if (const auto value = node.value<std::string>())
                startup.environment.emplace(std::string{name.str()}, *value);
    return startup;
}

Result<Program> choose_program(
    std::string_view entry_point,
    std::string_view folder,
    const std::map<std::string, std::string>& environment,
    const Startup& startup)
{
    Program program{.environment = environment};
    program.environment.insert(startup.environment.begin(), startup.environment.end());
    for (const auto& [name, value] : program.environment)
        if (name.empty() || name.find('=') != std::string::npos ||
            (name + value).find('\0') != std::string::npos)
            return fail(
                Errc::invalid, "environment variable \"" + printable(name) + "\" can't be set");
    program.environment.try_emplace(
        "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    program.environment.try_emplace("HOME", "/root");
    program.environment.try_emplace("TERM", "xterm");

    if (trim(entry_point).empty()) {
        if (startup.argv.empty())
            return fail(
                Errc::invalid,
                "no entry point: the workload names none and the flist has no .startup.toml with "
                "one");
        program.argv = startup.argv;
    } else {
        TRY(program.argv, split_words(entry_point));
    }
    program.folder = folder.empty() ? startup.folder : std::string{folder};
    if (program.folder.empty()) program.folder = "/";
    if (!program.folder.starts_with('/')) program.folder.insert(0, "/");
    return program;
}

tl::unexpected<Error> fail_program(const Program& program, int err)
{
    const auto name = "entry point \"" + printable(program.argv.front()) + "\"";
    if (err == ENOENT)
        return fail(
            Errc::invalid,
            name +
                " does not exist in the root, or its interpreter does not: check the flist and "
                "the path");
    if (err == EACCES) return fail(Errc::invalid, name + " is not executable");
    if (err == ENOEXEC)
        return fail(Errc::invalid, name + " is no program for this machine (a script needs #!)");
    if (err == EIO)
        return fail(
            Errc::invalid,
            name + " can't be read: a block of the flist is missing or damaged where it is stored");
    return fail(
        Errc::invalid, name + " can't be executed: " + std::generic_category().message(err));
}

}  // namespace znode::container
