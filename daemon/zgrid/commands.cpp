#include "commands.hpp"

#include "context.hpp"
#include "serve.hpp"

namespace znode::zgrid {

void add_commands(CLI::App& app, Context& context)
{
    add_serve(app, context);
    add_user(app, context);
    add_farm(app, context);
    add_node(app, context);
    add_gateway(app, context);
    add_pool(app, context);
    add_network(app, context);
    add_deploy(app, context);
    add_workload(app, context);
    add_reservation(app, context);
    add_hub(app, context);
}

}  // namespace znode::zgrid
