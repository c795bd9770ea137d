#pragma once
// Makes workload documents out of wishes. No I/O but the random source of encryption.

#include <map>
#include <string>

#include "deployment.hpp"
#include "grid/workload.hpp"
#include "identity/identity.hpp"

namespace znode::zgrid {

/// Who hides secrets, for workloads of which version.
struct Sealer {
    const identity::Identity& self;
    std::int64_t version = 2;
};

grid::Volume volume_of(const VolumeWish& wish);
/// The password encrypted for the node.
Result<grid::Zdb> zdb_of(const ZdbWish& wish, const std::string& node, const Sealer& by);

/// What a container's document needs to know of other parts.
struct ContainerParts {
    std::string node;
    IpAddress ip;
    std::map<std::string, std::string> volumes;  ///< gwid by name.
    std::map<std::string, std::string> zdbs;     ///< namespace:password@host:port by name.
};
Result<grid::Container> container_of(
    const ContainerWish& wish, const ContainerParts& parts, const Sealer& by);

/// One text per wish, the same for the same wish: what tells whether a part has changed. Not to be
/// shown, since short passwords could be guessed from it.
std::string fingerprint(const VolumeWish& wish);
std::string fingerprint(const ZdbWish& wish);
std::string fingerprint(const ContainerWish& wish);

}  // namespace znode::zgrid
