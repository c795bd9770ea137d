#pragma once
// Reservations of the first era: one signed document of a customer, cut into parts that nodes carry
// out and answer one by one.

#include <string>
#include <vector>

#include "core.hpp"
#include "grid/legacy.hpp"

namespace znode::explorer_server {

/// One workload of a reservation, for one node, and its number within the reservation. All
/// resources of a network that are for one node are parts of their own with the same name, as the
/// originals cut it.
struct Part {
    std::int64_t workload_id = 0;
    grid::legacy::ReservationWorkload entry;

    const std::string& node() const { return entry.node_id; }
};

/// In the order in which nodes are told of them; of one node, or of all when there is none given.
std::vector<Part> parts_of(
    const grid::legacy::Reservation& reservation, std::string_view node = {});

/// What follows for the reservation from signatures, results and the clock.
grid::NextAction advance(const grid::legacy::Reservation& reservation, std::int64_t now);

/// When the clock alone may change it next; empty once it has ended.
std::optional<std::int64_t> next_change(const grid::legacy::Reservation& reservation);

/// Why it is too much for one reservation; empty when it is not. Cheap: looked at before anything
/// is cut or compared.
std::string too_large(const grid::legacy::Reservation& reservation);

/// Why it can't be taken, in the words of the originals; empty when it can.
std::string refusal_of(const grid::legacy::Reservation& reservation);

/// The reservation of an id, with the state that it has now; for showing it. What the clock alone
/// has changed is not written down yet.
Result<std::optional<grid::legacy::Reservation>> find_reservation(
    Core& core, std::int64_t id, std::int64_t now);
/// The same for changing it: what the clock has ended meanwhile is ended first.
Result<std::optional<grid::legacy::Reservation>> settled_reservation(
    Core& core, std::int64_t id, std::int64_t now);
Result<> save_reservation(Core& core, const grid::legacy::Reservation& reservation);

/// Ends it: tells every node that has not confirmed its end yet. Saves.
Result<> end_reservation(Core& core, grid::legacy::Reservation& reservation);

/// A part in the words of the pools era, for nodes that speak them, with what its node has said.
Result<grid::Workload> in_new_words(const grid::legacy::Reservation& reservation, const Part& part);

/// Whether an id was given to a reservation and not to a workload.
Result<bool> is_reservation(Core& core, std::int64_t id);

/// What a node says of its part of a reservation, whichever era's words it uses.
Answer<> put_part_result(
    Core& core, const Call& call, std::string_view gwid, const std::string& node);
Answer<> confirm_part_deleted(
    Core& core, const Call& call, std::string_view gwid, const std::string& node);

}  // namespace znode::explorer_server
