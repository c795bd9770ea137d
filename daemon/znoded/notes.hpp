#pragma once

#include <map>
#include <optional>
#include <string>

#include "async/blocking.hpp"
#include "engine/journal.hpp"
#include "explorer/node_api.hpp"
#include "identity/identity.hpp"
#include "storage/volumes.hpp"

namespace znode::agent {

/// What the agent remembers beside its workloads, in their journal and on its lane. Everything that
/// is given to it outlives it and what it has begun.
class Notes {
public:
    /// `first_uid`: where the ranges of customers begin.
    Notes(
        engine::Journal& journal, Blocking& store, explorer::NodeApi& api, std::uint32_t first_uid)
        : journal_{journal}, store_{store}, api_{api}, first_uid_{first_uid}
    {
    }

    Task<Result<std::optional<std::string>>> fact(std::string key);
    Task<Result<>> set_fact(std::string key, std::string value);
    /// Kept, so that secrets can be read again without an explorer; a fresh one replaces it.
    Task<Result<identity::PublicKey>> user_key(std::int64_t owner, bool fresh);
    /// The first of the ids that the files of this customer's containers have.
    Task<Result<std::uint32_t>> uid_range(std::int64_t owner);
    /// A new database does not know whose files have which ids, and the roots of containers do: ids
    /// on disk can't be changed under a program.
    Task<Result<>> find_uid_ranges(storage::Volumes* volumes, Blocking* disks);

private:
    engine::Journal& journal_;
    Blocking& store_;
    explorer::NodeApi& api_;
    std::uint32_t first_uid_;
    std::map<std::int64_t, identity::PublicKey> keys_;
};

}  // namespace znode::agent
