#include "context.hpp"

#include <cstdio>
#include <cstdlib>

#include "base/text.hpp"

namespace znode::zgrid {

std::filesystem::path default_identity()
{
    const auto folder = [](const char* name) -> std::filesystem::path {
        const char* value = std::getenv(name);
        return value != nullptr ? value : "";
    };
    auto config = folder("XDG_CONFIG_HOME");
    if (config.empty()) config = folder("HOME") / ".config";
    return config / "zgrid" / "identity.json";
}

void report(Context& context, const Error& error, int exit_code)
{
    std::fprintf(stderr, "zgrid: %s\n", printable(error.message, 4096).c_str());
    context.exit_code = exit_code;
}

void execute(Context& context, Task<Result<>> task)
{
    const auto outcome = run(*context.loop, std::move(task));
    if (!outcome) report(context, outcome.error());
}

}  // namespace znode::zgrid
