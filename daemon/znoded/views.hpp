#pragma once
// The engine's records as the status socket shows them.

#include <cstdint>
#include <string>

#include "engine/engine.hpp"
#include "status/source.hpp"

namespace znode::agent {

/// RFC 3339; empty for 0. Nanoseconds since 1970.
std::string time_text(std::int64_t ns);

v1::Resources resources_of(const engine::Amounts& amounts);
v1::Event event_of(const engine::JournalEvent& event);
v1::Workload view_of(const engine::WorkloadView& view, bool with_history);

}  // namespace znode::agent
