#include <algorithm>
#include <map>
#include <set>

#include "base/text.hpp"
#include "explorer_server/poll.hpp"
#include "reservations.hpp"

namespace znode::explorer_server {
namespace {

using grid::NextAction;
using grid::ResultState;
using grid::legacy::Reservation;

constexpr std::size_t page_size = 200;

/// A node's page of work, made of reservations that are each read and cut once.
class PageReader {
public:
    PageReader(Core& core, const Call& call) : core_{core}, now_{call.now} {}

    /// Adds the node's parts of this reservation to the page: all, or those of one workload id.
    /// What is there already is not added again.
    Result<> add(
        const std::string& node, std::int64_t id, std::optional<std::int64_t> only = std::nullopt)
    {
        TRY(const auto* parts, read(node, id));
        for (std::size_t i = 0; i < parts->size(); ++i) {
            const auto& part = (*parts)[i];
            if (only && part.workload_id != *only) continue;
            if (!shown_.emplace(id, i).second) continue;
            if (!list_.empty()) list_ += ',';
            list_ += grid::to_json(part.entry);
            ++count_;
        }
        return {};
    }
    std::size_t count() const { return count_; }
    std::size_t bytes() const { return list_.size(); }
    std::string list() && { return "[" + std::move(list_) + "]"; }

private:
    Result<const std::vector<Part>*> read(const std::string& node, std::int64_t id)
    {
        if (const auto known = read_.find(id); known != read_.end()) return &known->second;
        TRY(auto found, find_reservation(core_, id, now_));
        auto parts = found ? parts_of(*found, node) : std::vector<Part>{};
        return &read_.emplace(id, std::move(parts)).first->second;
    }

    Core& core_;
    std::int64_t now_;
    std::map<std::int64_t, std::vector<Part>> read_;
    std::set<std::pair<std::int64_t, std::size_t>> shown_;
    std::string list_;
    std::size_t count_ = 0;
};

void left_out(Core& core, std::int64_t id, const Error& error)
{
    core.log->error("reservation is left out id={} error=\"{}\"", id, error.message);
}

/// The parts that a result or an end of this name is about.
struct Named {
    Reservation reservation;
    grid::Gwid gwid;
};

Answer<Named> named_by(Core& core, const Call& call, std::string_view text, const std::string& node)
{
    TRY(const auto gwid, gwid_of(text, "workload not found"));
    TRY(auto reservation, settled_reservation(core, gwid.id, call.now));
    if (!reservation) return refuse(404, no_document);
    TRY(const auto there,
        core.db.integer(
            "SELECT 1 FROM part WHERE reservation = ? AND workload_id = ? AND node = ? LIMIT 1",
            {gwid.id, gwid.workload_id, node}));
    if (!there) return refuse(404, "workload not found");
    return Named{*std::move(reservation), gwid};
}

/// How large the result of one part may be: whatever the others' nodes say, there is room for it,
/// and for the end of each part. The first error ends the reservation, after which none is taken:
/// there is one at most, and its reason is worth more than a share.
Result<std::size_t> room_of_result(Core& core, const Reservation& reservation, ResultState state)
{
    if (state == ResultState::error) return largest_part_result;
    TRY(const auto parts,
        core.db.integer("SELECT count(*) FROM part WHERE reservation = ?", {reservation.id}));
    const auto count = static_cast<std::size_t>(std::max<std::int64_t>(parts.value_or(1), 1));
    return std::min(largest_part_result, largest_results / count);
}

/// Takes the node's result of this workload out of the list.
std::optional<grid::WorkloadResult> take_result(
    const Named& named, const std::string& node, grid::List<grid::WorkloadResult>& results)
{
    const auto found = std::ranges::find_if(results, [&](const grid::WorkloadResult& result) {
        return result.workload_id == named.gwid.text() &&
               (result.node_id == node || result.node_id.empty());
    });
    if (found == results.end()) return std::nullopt;
    auto result = std::move(*found);
    results.erase(found);
    return result;
}

}  // namespace

Answer<> poll_reservations(Core& core, Call& call)
{
    TRY(const auto from, cursor_of(call));
    const auto& node = call.parts[0];
    PageReader page{core, call};

    // What is queued comes first and until it is answered: ends, and beginnings that a cursor which
    // ran ahead would miss.
    std::vector<std::pair<std::int64_t, std::int64_t>> queued;
    TRY_DO(core.db.query(
        "SELECT q.id, q.workload_id FROM queue q JOIN reservation r ON r.id = q.id WHERE q.node = "
        "? ORDER BY q.number LIMIT 200",
        {node},
        [&](const store::Row& row) {
            queued.emplace_back(row.integer(0), row.integer(1));
            return true;
        }));
    for (const auto& [id, workload_id] : queued) {
        if (page.bytes() >= poll_page_bytes) break;
        if (auto added = page.add(node, id, workload_id); !added) left_out(core, id, added.error());
    }

    std::vector<std::int64_t> live;
    TRY_DO(core.db.query(
        "SELECT DISTINCT p.reservation FROM part p JOIN reservation r ON r.id = p.reservation "
        "WHERE p.node = ? AND p.gone = 0 AND p.reservation >= ? AND r.next_action IN (3, 4) ORDER "
        "BY p.reservation LIMIT 200",
        {node, from},
        [&](const store::Row& row) {
            live.push_back(row.integer(0));
            return true;
        }));
    for (const auto id : live) {
        if (page.count() >= page_size || page.bytes() >= poll_page_bytes) break;
        if (auto added = page.add(node, id); !added) left_out(core, id, added.error());
    }
    return json_reply(200, std::move(page).list());
}

Answer<> get_part(Core& core, Call& call)
{
    // Both eras share the counter of ids, and this path.
    TRY(const auto gwid, gwid_of(call.part(0), "workload not found"));
    TRY(const auto reservation, find_reservation(core, gwid.id, call.now));
    if (!reservation) return get_by_gwid(core, call);
    const auto parts = parts_of(*reservation);
    const auto part = std::ranges::find(parts, gwid.workload_id, &Part::workload_id);
    if (part == parts.end()) return refuse(404, "workload not found");
    const auto& results = reservation->results;
    const auto result = std::ranges::find(results, gwid.text(), &grid::WorkloadResult::workload_id);
    auto entry = part->entry;
    entry.result.emplace();
    if (result != results.end()) entry.result->push_back(*result);
    return json_reply(200, grid::to_json(entry));
}

Answer<> put_part_result(
    Core& core, const Call& call, std::string_view name, const std::string& node)
{
    TRY(auto result, body_of<grid::WorkloadResult>(call));
    TRY(auto named, named_by(core, call, name, node));
    TRY_DO(must_be_the_node(core, call, node));
    TRY_DO(must_be_signed(core, call, node, result));

    // Late news of what has ended must not bring it back.
    auto& reservation = named.reservation;
    if (reservation.next_action != NextAction::deploy) return null_reply(201);

    result.workload_id = named.gwid.text();
    result.node_id = node;
    result.epoch.unix = call.now;
    TRY(const auto room, room_of_result(core, reservation, result.state));
    TRY_DO(stored_text(result, "result", room));
    (void)take_result(named, node,
                      reservation.results);  // The new one is in its place.
    const auto state = result.state;
    reservation.results.push_back(std::move(result));
    TRY_DO(core.dequeue(node, named.gwid.id, named.gwid.workload_id));
    if (state == ResultState::error) {
        // One workload that failed ends the whole order, on all of its nodes.
        TRY_DO(end_reservation(core, reservation));
    } else {
        TRY_DO(save_reservation(core, reservation));
    }
    core.log->info("result taken id={} state={}", named.gwid.text(), grid::to_string(state));
    return null_reply(201);
}

Answer<> confirm_part_deleted(
    Core& core, const Call& call, std::string_view name, const std::string& node)
{
    TRY(auto named, named_by(core, call, name, node));
    TRY_DO(must_be_the_node(core, call, node));

    auto& reservation = named.reservation;
    // It goes on under another name, and so does what its node says of it.
    if (reservation.next_action == NextAction::migrated) return null_reply(200);
    auto result = take_result(named, node, reservation.results);
    if (!result) {
        result.emplace();
        result->workload_id = named.gwid.text();
        result->state = ResultState::deleted;
        // The originals forget whose it is.
        if (!core.options.lenient) result->node_id = node;
    } else if (result->state != ResultState::error || core.options.lenient) {
        result->state = ResultState::deleted;
    }
    result->epoch.unix = call.now;
    reservation.results.push_back(*std::move(result));

    TRY_DO(core.db.run(
        "UPDATE part SET gone = 1 WHERE reservation = ? AND workload_id = ? AND node = ?",
        {named.gwid.id, named.gwid.workload_id, node}));
    TRY_DO(core.dequeue(node, named.gwid.id, named.gwid.workload_id));
    TRY(const auto live,
        core.db.integer(
            "SELECT count(*) FROM part WHERE reservation = ? AND gone = 0", {named.gwid.id}));
    if (live.value_or(0) == 0) reservation.next_action = NextAction::deleted;
    TRY_DO(save_reservation(core, reservation));
    core.log->info("workload deleted id={}", named.gwid.text());
    return null_reply(200);
}

Answer<> put_part(Core& core, Call& call)
{
    return put_part_result(core, call, call.part(0), call.parts[1]);
}

Answer<> delete_part(Core& core, Call& call)
{
    return confirm_part_deleted(core, call, call.part(0), call.parts[1]);
}

}  // namespace znode::explorer_server
