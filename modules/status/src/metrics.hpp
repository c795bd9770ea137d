#pragma once

#include <string>
#include <znode/v1/status.pb.h>
#include <znode/v1/workload.pb.h>

namespace znode::status {

/// The Prometheus text (version 0.0.4) of what the agent knows.
std::string metrics_text(const v1::Status& status, const v1::WorkloadList& workloads);

}  // namespace znode::status
