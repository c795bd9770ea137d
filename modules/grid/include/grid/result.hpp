#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "grid/scalars.hpp"

namespace znode::grid {

/// What a node says of a workload. The zero object means that it has not said anything yet; so
/// test `workload_id`, since state 0 alone is no error.
struct WorkloadResult {
    WorkloadType category = WorkloadType::zdb;  ///< `network` for network resources.
    std::string workload_id;                    ///< The gwid.
    RawJson data;                               ///< Compact; its bytes are signed.
    std::string signature;                      ///< Hex.
    ResultState state = ResultState::error;
    std::string message;
    Date epoch;
    std::string node_id;  ///< Filled in by the server.
};

// What `data` holds, by category. Absent addresses are the text "<nil>".
struct ZdbResult {
    std::string name;               ///< `Namespace`
    List<std::string> ips;          ///< `IPs`; not written when null (the old form).
    std::optional<std::string> ip;  ///< `IP`, for clients of the old form.
    std::int64_t port = 0;          ///< `Port`
};
struct ContainerResult {
    std::string id;
    std::string ipv6;
    std::string ipv4;
    std::optional<std::string> yggdrasil;
};
struct VolumeResult {
    std::string volume_id;
};
/// Of kubernetes and public_ip.
struct IpResult {
    std::string id;
    std::string ip;
};

/// The category under which results of a type are reported.
WorkloadType category_of(WorkloadType type) noexcept;

/// What the node signs (ed25519, no hash): state as one byte, message, bytes of the data ("null"
/// when there are none).
std::string result_signing_bytes(const WorkloadResult& result);
std::string result_signing_bytes(
    ResultState state, std::string_view message, std::string_view data_bytes);

}  // namespace znode::grid
