#pragma once

#include <optional>
#include <vector>

#include "capacity/hardware.hpp"
#include "config.hpp"
#include "engine/explorer_link.hpp"
#include "source.hpp"

namespace znode::agent {

/// What this node says of itself, in the explorer's words. Asks anew each time, and lets the status
/// have what it found. Lives on the loop; what it is given outlives it.
class NodeDocuments {
public:
    NodeDocuments(const Config& config, network::Networks& networks, storage::Volumes& volumes)
        : config_{config}, networks_{networks}, volumes_{volumes}
    {
    }
    /// Made after the link that this object speaks through; before anything is announced.
    void attach(const engine::Engine& engine, AgentSource& source)
    {
        engine_ = &engine;
        source_ = &source;
    }

    engine::Announcement announcement();

private:
    Task<Result<grid::Node>> node_document();
    Task<Result<std::vector<grid::Interface>>> interface_documents();
    Task<Result<std::vector<std::int64_t>>> port_documents();
    Task<Result<grid::CapacityReport>> capacity_document();
    grid::UsedReport used_document() const;

    const Config& config_;
    network::Networks& networks_;
    storage::Volumes& volumes_;
    const engine::Engine* engine_ = nullptr;
    AgentSource* source_ = nullptr;
    std::optional<capacity::Hardware> hardware_;
};

}  // namespace znode::agent
