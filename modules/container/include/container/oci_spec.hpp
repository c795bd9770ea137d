#pragma once

#include <string>

#include "container/containers.hpp"
#include "container/entry_point.hpp"

namespace znode::container {

/// What a container's config depends on besides its spec.
struct OciInputs {
    const ContainerSpec* spec;  ///< Checked by `check_spec`.
    const Program* program;
    Namespaces namespaces;
    std::filesystem::path bundle;  ///< Holds resolv.conf and hosts.
    std::filesystem::path root;    ///< The mounted root.
    std::filesystem::path init_program;
    std::filesystem::path corex_program;  ///< Used when interactive.
    std::string cgroups_path;             ///< "/znode-01234567/12-1".
    std::string seccomp_filter;           ///< Base64 of compile_seccomp_filter().
};

/// The container's `config.json`. A secret, since the environment may hold some. Pure.
Secret build_oci_spec(const OciInputs& inputs);

/// What of a spec can be wrong before anything is made: the id, limits against the host's threads,
/// mount points. Errc::invalid with a message for the customer.
[[nodiscard]] Result<> check_spec(const ContainerSpec& spec, unsigned host_threads);

/// Content of /etc/resolv.conf and /etc/hosts.
std::string resolv_conf(const ContainerSpec& spec);
std::string hosts_file(const ContainerSpec& spec);

/// How long init waits for a monitor to take the last output, for agents that restart meanwhile.
inline constexpr int drain_ms = 10'000;

}  // namespace znode::container
