#pragma once

#include "grid/workload.hpp"
#include "table.hpp"

namespace znode::grid {

template <>
struct Table<SigningRequest> {
    static constexpr std::array fields{
        field<&SigningRequest::signers>("signers"),
        field<&SigningRequest::quorum_min>("quorum_min")};
};

template <>
struct Table<SigningSignature> {
    using T = SigningSignature;
    static constexpr std::array fields{
        field<&T::tid>("tid"), field<&T::signature>("signature"), field<&T::epoch>("epoch")};
};

template <>
struct Table<ContainerMount> {
    static constexpr std::array fields{
        field<&ContainerMount::volume_id>("volume_id"),
        field<&ContainerMount::mountpoint>("mountpoint")};
};

template <>
struct Table<WorkloadResult> {
    using T = WorkloadResult;
    static constexpr std::array fields{
        field<&T::category>("category"),
        field<&T::workload_id>("workload_id"),
        field<&T::data>("data_json"),
        field<&T::signature>("signature"),
        field<&T::state>("state"),
        field<&T::message>("message"),
        field<&T::epoch>("epoch"),
        field<&T::node_id>("node_id")};
};

}  // namespace znode::grid
