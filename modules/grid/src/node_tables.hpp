#pragma once

#include "grid/node.hpp"
#include "table.hpp"

namespace znode::grid {

template <>
struct Table<Location> {
    static constexpr std::array fields{
        field<&Location::city>("city"),
        field<&Location::country>("country"),
        field<&Location::continent>("continent"),
        field<&Location::latitude>("latitude"),
        field<&Location::longitude>("longitude")};
};

template <>
struct Table<ResourceAmount> {
    using T = ResourceAmount;
    static constexpr std::array fields{
        field<&T::cru>("cru"), field<&T::mru>("mru"), field<&T::hru>("hru"), field<&T::sru>("sru")};
};

template <>
struct Table<WorkloadAmount> {
    using T = WorkloadAmount;
    static constexpr std::array fields{
        field<&T::network>("network"),
        field<&T::network_resource>("network_resource"),
        field<&T::volume>("volume"),
        field<&T::zdb_namespace>("zdb_namespace"),
        field<&T::container>("container"),
        field<&T::k8s_vm>("k8s_vm"),
        field<&T::proxy>("proxy"),
        field<&T::reverse_proxy>("reverse_proxy"),
        field<&T::subdomain>("subdomain"),
        field<&T::delegate_domain>("delegate_domain")};
};

}  // namespace znode::grid
