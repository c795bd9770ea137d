#include "commands.hpp"

#include "context.hpp"

namespace znode::zgrid {

void add_commands(CLI::App& app, Context& context)
{
    (void)app;
    (void)context;
}

}  // namespace znode::zgrid
