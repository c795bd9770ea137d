#pragma once

#include "grid/result.hpp"
#include "grid/scalars.hpp"
#include "grid/workload.hpp"

namespace znode::grid {

/// A reservation of the first era as explorers of the pools era show it: lists of workloads in one
/// signed document. The entries are kept as text.
struct ReservationData {
    std::string description;
    List<std::string> currencies;
    SigningRequest signing_request_provision;
    SigningRequest signing_request_delete;
    List<RawJson> containers;
    List<RawJson> volumes;
    List<RawJson> zdbs;
    List<RawJson> networks;
    List<RawJson> network_resource;
    List<RawJson> kubernetes;
    List<RawJson> proxies;
    List<RawJson> reverse_proxies;
    List<RawJson> subdomains;
    List<RawJson> domain_delegates;
    List<RawJson> gateway4to6;
    List<RawJson> public_ips;
    Date expiration_provisioning;
    Date expiration_reservation;
};

struct Reservation {
    std::int64_t id = 0;
    std::string json;
    ReservationData data;
    std::int64_t customer_tid = 0;
    std::string customer_signature;
    NextAction next_action = NextAction::create;
    List<SigningSignature> signatures_provision;
    List<SigningSignature> signatures_farmer;
    List<SigningSignature> signatures_delete;
    Date epoch;
    std::string metadata;
    List<WorkloadResult> results;
};

}  // namespace znode::grid
