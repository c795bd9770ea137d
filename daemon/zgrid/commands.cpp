#include "commands.hpp"

#include "context.hpp"
#include "serve.hpp"

namespace znode::zgrid {

void add_commands(CLI::App& app, Context& context)
{
    add_serve(app, context);
}

}  // namespace znode::zgrid
