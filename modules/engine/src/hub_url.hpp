#pragma once

#include <string>

#include "base/result.hpp"

namespace znode::engine {

/// Whether a customer may name this block store: the agent's helper opens it as root on the host,
/// whatever it is. `own_url`: the farmer's, which may be on the node itself, at its port alone.
Result<> check_hub_url(const std::string& url, const std::string& own_url);

/// Whether it is another server than the farmer's own, so that no name may lead to this machine:
/// what else listens beside the farmer's hub is no customer's to ask.
bool is_foreign_hub(const std::string& url, const std::string& own_url);

}  // namespace znode::engine
