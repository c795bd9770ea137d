#include <algorithm>
#include <iterator>
#include <limits>

#include "base/text.hpp"
#include "explorer_server/accounting.hpp"
#include "explorer_server/lifecycle.hpp"
#include "explorer_server/poll.hpp"
#include "grid/result.hpp"
#include "identity/identity.hpp"
#include "reservations.hpp"

namespace znode::explorer_server {
namespace {

using grid::NextAction;
using grid::ResultState;

Result<std::vector<PollEntry>> entries(
    Core& core, std::string_view sql, const std::vector<store::Value>& values)
{
    std::vector<PollEntry> found;
    TRY_DO(core.db.query(sql, values, [&](const store::Row& row) {
        found.push_back(
            {.id = row.integer(0),
             .workload_id = row.integer(1),
             .next_action = static_cast<NextAction>(row.integer(2))});
        return true;
    }));
    return found;
}

/// The node's live workloads and parts of reservations from this id on, ascending: a page of them,
/// the last reservation whole.
Result<std::vector<PollEntry>> scan(Core& core, const std::string& node, std::int64_t from)
{
    TRY(auto found,
        entries(
            core,
            "SELECT id, workload_id, next_action FROM workload WHERE node = ? AND id >= ? AND "
            "next_action IN (3, 4) ORDER BY id LIMIT 200",
            {node, from}));
    // Beyond the last workload of a full page they are for the next one.
    const auto until =
        found.size() < poll_page ? std::numeric_limits<std::int64_t>::max() : found.back().id;
    std::vector<std::int64_t> reservations;
    TRY_DO(core.db.query(
        "SELECT DISTINCT p.reservation FROM part p JOIN reservation r ON r.id = p.reservation "
        "WHERE p.node = ? AND p.gone = 0 AND p.reservation BETWEEN ? AND ? AND r.next_action IN "
        "(3, 4) ORDER BY p.reservation LIMIT 200",
        {node, from, until},
        [&](const store::Row& row) {
            reservations.push_back(row.integer(0));
            return true;
        }));
    std::vector<PollEntry> parts;
    for (const auto id : reservations) {
        if (parts.size() >= poll_page) {
            // Not read: neither is what comes behind it.
            std::erase_if(found, [&](const PollEntry& entry) { return entry.id >= id; });
            break;
        }
        TRY(const auto of_it,
            entries(
                core,
                "SELECT p.reservation, p.workload_id, r.next_action FROM part p JOIN reservation r "
                "ON r.id = p.reservation WHERE p.node = ? AND p.reservation = ? AND p.gone = 0 "
                "GROUP BY p.workload_id ORDER BY min(p.position)",
                {node, id}));
        parts.insert(parts.end(), of_it.begin(), of_it.end());
    }
    std::vector<PollEntry> all;
    all.reserve(found.size() + parts.size());
    std::ranges::merge(found, parts, std::back_inserter(all), {}, &PollEntry::id, &PollEntry::id);
    return all;
}

/// Shows what is on a node's page; a reservation is read and cut once for all of its parts.
class EntryReader {
public:
    EntryReader(Core& core, std::int64_t now, const std::string& node)
        : core_{core}, now_{now}, node_{node}
    {
    }
    /// An entry as JSON; "" for one that has vanished since.
    Result<std::string> shown(const PollEntry& entry)
    {
        if (entry.id != id_) {
            id_ = 0;
            TRY(const auto workload, core_.workload(entry.id));
            if (workload) return show(*workload);
            TRY(reservation_, find_reservation(core_, entry.id, now_));
            if (!reservation_) return std::string{};
            parts_ = parts_of(*reservation_, node_);
            id_ = entry.id;
        }
        const auto part = std::ranges::find(parts_, entry.workload_id, &Part::workload_id);
        if (part == parts_.end()) return std::string{};
        TRY(const auto document, in_new_words(*reservation_, *part));
        return grid::to_json(document);
    }

private:
    Core& core_;
    std::int64_t now_;
    const std::string& node_;
    std::int64_t id_ = 0;  ///< Of the reservation; 0: none has been read.
    std::optional<grid::legacy::Reservation> reservation_;
    std::vector<Part> parts_;
};

/// The workload of a gwid: 404 with other words for an id that was never given and one whose second
/// half is wrong.
Answer<Core::StoredWorkload> workload_of_gwid(
    Core& core, std::string_view text, const char* not_found)
{
    TRY(const auto gwid, gwid_of(text, not_found));
    TRY(auto workload, core.workload(gwid.id));
    if (!workload) return refuse(404, no_document);
    if (workload->document.workload_id != gwid.workload_id) return refuse(404, not_found);
    workload->document.next_action = advance(workload->document);
    return *std::move(workload);
}

Result<bool> names_a_part(Core& core, std::string_view text)
{
    const auto gwid = grid::Gwid::parse(text);
    return gwid ? is_reservation(core, gwid->id) : Result<bool>{false};
}

/// Only the node that a workload is for may speak of it.
Answer<> must_be_its_node(Core& core, const Call& call, const grid::Workload& workload)
{
    TRY_DO(must_be_the_node(core, call, call.parts[0]));
    if (!core.options.lenient && workload.node_id != call.parts[0])
        return refuse(
            403,
            "workload " + workload.gwid().text() + " is not for node " + printable(call.parts[0]));
    return http::Reply{};
}

}  // namespace

Answer<grid::Gwid> gwid_of(std::string_view text, const char* not_found)
{
    for (const auto part : split(text, '-'))
        if (auto number = integer_of(part, "invalid reservation id part: invalid id format: ");
            !number)
            return tl::unexpected(std::move(number).error());
    const auto gwid = grid::Gwid::parse(text);
    if (!gwid) return refuse(404, not_found);
    return *gwid;
}

Answer<std::int64_t> cursor_of(const Call& call)
{
    const auto text = call.argument("from");
    const bool is_number = text && !text->empty() &&
                           std::ranges::all_of(*text, [](char c) { return c >= '0' && c <= '9'; });
    if (!is_number) return refuse(404, "404 page not found\n", Refusal::Form::plain);
    return integer_of(*text, "invalid id format: ");
}

Answer<> must_be_the_node(Core& core, const Call& call, const std::string& node)
{
    if (core.options.lenient) return http::Reply{};
    TRY(const auto signer, signing_node(core, call));
    if (signer == node) return http::Reply{};
    return refuse(403, "trying to report for node " + printable(node) + " while you are " + signer);
}

Answer<> must_be_signed(
    Core& core, const Call& call, const std::string& node, const grid::WorkloadResult& result)
{
    if (core.options.lenient) return http::Reply{};
    // The very bytes of the body are signed, not what we would write.
    const auto tree = grid::json::parse(call.request.body, sent_limits);
    const auto* data = tree ? tree->find("data_json") : nullptr;
    const auto message = grid::result_signing_bytes(
        result.state, result.message, data == nullptr ? std::string_view{"null"} : data->raw);
    const auto key = identity::key_of_node(node);
    if (key && identity::verify_hex(*key, message, result.signature)) return http::Reply{};
    return refuse(401, "invalid result signature: signature verification failed");
}

Answer<> poll_workloads(Core& core, Call& call)
{
    TRY(const auto from, cursor_of(call));
    const auto& node = call.parts[0];

    TRY(const auto scanned, scan(core, node, from));
    std::vector<PollEntry> queued;
    if (scanned.empty()) {
        TRY(queued,
            entries(
                core,
                "SELECT q.id, q.workload_id, coalesce(w.next_action, r.next_action) FROM queue q "
                "LEFT JOIN workload w ON w.id = q.id LEFT JOIN reservation r ON r.id = q.id WHERE "
                "q.node = ? ORDER BY q.number LIMIT 200",
                {node}));
    }
    TRY(const auto counter, core.last_id("workload"));
    const auto page = select_page(from, scanned, queued, counter);

    std::string list = page.entries.empty() ? "null" : "[";
    auto last_id = page.last_id;
    auto told = from;
    std::int64_t current = 0;
    EntryReader reader{core, call.now, node};
    for (const auto& entry : page.entries) {
        // What has one id is told in one go here too.
        if (list.size() >= poll_page_bytes && entry.id != current) {
            last_id = told;
            break;
        }
        current = entry.id;
        told = std::max(told, current);
        const auto document = reader.shown(entry);
        if (!document) {
            core.log->error(
                "workload is left out id={} error=\"{}\"", entry.id, document.error().message);
            continue;
        }
        if (document->empty()) continue;
        if (list.size() > 1) list += ',';
        list += *document;
    }
    if (!page.entries.empty()) list += ']';
    auto reply = json_reply(200, std::move(list));
    reply.headers.add("x-last-id", std::to_string(last_id));
    return reply;
}

Answer<> get_by_gwid(Core& core, Call& call)
{
    TRY(const bool of_old_era, names_a_part(core, call.part(0)));
    if (of_old_era) {
        const auto gwid = grid::Gwid::parse(call.part(0));
        TRY(const auto reservation, find_reservation(core, gwid->id, call.now));
        const auto parts = parts_of(*reservation);
        const auto part = std::ranges::find(parts, gwid->workload_id, &Part::workload_id);
        if (part == parts.end()) return refuse(404, "workload not found");
        TRY(const auto document, in_new_words(*reservation, *part));
        return json_reply(200, grid::to_json(document));
    }
    TRY(const auto workload, workload_of_gwid(core, call.part(0), "workload not found"));
    return json_reply(200, show(workload));
}

Answer<> put_result(Core& core, Call& call)
{
    TRY(const bool of_old_era, names_a_part(core, call.part(1)));
    if (of_old_era) return put_part_result(core, call, call.part(1), call.parts[0]);
    TRY(auto result, body_of<grid::WorkloadResult>(call));
    TRY(auto workload, workload_of_gwid(core, call.part(1), "workload id does not exist"));
    auto& document = workload.document;
    TRY_DO(must_be_its_node(core, call, document));
    TRY_DO(must_be_signed(core, call, call.parts[0], result));

    // Late news of what has ended must not bring it back, or charge anybody.
    if (document.next_action != NextAction::deploy) return null_reply(201);

    result.workload_id = document.gwid().text();
    result.node_id = call.parts[0];
    result.epoch.unix = call.now;
    // Signatures and the end are still to come.
    TRY_DO(stored_text(result, "result", largest_result));
    document.result = result;
    if (result.state == ResultState::ok) {
        TRY(auto pool, core.pool(document.pool_id));
        const auto units = grid::resource_units(document);
        if (pool && units) {
            add_workload(*pool, document.id, grid::cloud_units(*units), call.now);
            TRY_DO(core.save_pool(*pool));
        }
    } else if (result.state == ResultState::error) {
        document.next_action = NextAction::remove;
        TRY_DO(release(core, document, call.now));
    }
    TRY_DO(core.save_workload(workload));
    TRY_DO(core.dequeue(document));
    core.log->info(
        "result taken id={} state={}", document.gwid().text(), grid::to_string(result.state));
    return null_reply(201);
}

Answer<> confirm_deleted(Core& core, Call& call)
{
    TRY(const bool of_old_era, names_a_part(core, call.part(1)));
    if (of_old_era) return confirm_part_deleted(core, call, call.part(1), call.parts[0]);
    TRY(auto workload, workload_of_gwid(core, call.part(1), "workload not found"));
    auto& document = workload.document;
    TRY_DO(must_be_its_node(core, call, document));

    auto& result = document.result;
    if (result.workload_id.empty()) {
        result = {};
        result.workload_id = document.gwid().text();
        result.state = ResultState::deleted;
        result.epoch.unix = call.now;
    } else if (result.state != ResultState::error || core.options.lenient) {
        // A failure stays one: customers who look seldom would take it for their own delete.
        result.state = ResultState::deleted;
    }
    TRY_DO(release(core, document, call.now));
    document.next_action = NextAction::deleted;
    TRY_DO(core.save_workload(workload));
    TRY_DO(core.dequeue(document));
    core.log->info("workload deleted id={}", document.gwid().text());
    return null_reply(200);
}

}  // namespace znode::explorer_server
