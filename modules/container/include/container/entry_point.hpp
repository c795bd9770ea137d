#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace znode::container {

/// Splits an entry point into words as a POSIX shell does: blanks separate, quotes and backslash
/// protect, a word that begins with '#' starts a comment. Nothing is expanded. Errc::invalid for a
/// quote without end, and for no word at all.
[[nodiscard]] Result<std::vector<std::string>> split_words(std::string_view entry_point);

/// What a root says about its own start, in its file `/.startup.toml`.
struct Startup {
    std::vector<std::string> argv;  ///< Empty when the file names no program.
    std::string folder;             ///< Where to start it, "" if not said.
    std::map<std::string, std::string> environment;
};

/// Reads a `.startup.toml`: table `startup.entry` with `name` ("core.system" or "core.base") and
/// `args.name`, `args.dir`, `args.args`, `args.env`. Errc::invalid with the line when it is no
/// TOML; what is not of the expected type is left out, as the original does.
[[nodiscard]] Result<Startup> parse_startup(std::string_view toml);

/// What runs in a container in the end.
struct Program {
    std::vector<std::string> argv;
    std::string folder;
    std::map<std::string, std::string> environment;
};

/// Joins what the customer asked for with what the root says: the customer's environment wins by
/// name, his entry point and folder replace the root's. PATH, HOME and TERM are added when nobody
/// gave them. Errc::invalid when there is no program at all.
[[nodiscard]] Result<Program> choose_program(
    std::string_view entry_point,
    std::string_view folder,
    const std::map<std::string, std::string>& environment,
    const Startup& startup);

/// Why the program could not be executed, for the person who wrote the entry point.
[[nodiscard]] tl::unexpected<Error> fail_program(const Program& program, int err);

}  // namespace znode::container
