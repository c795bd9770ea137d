#include <algorithm>

#include "base/text.hpp"
#include "core.hpp"
#include "explorer_server/accounting.hpp"
#include "explorer_server/lifecycle.hpp"
#include "explorer_server/poll.hpp"
#include "grid/result.hpp"
#include "identity/identity.hpp"

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

/// The workload of a gwid: 404 with other words for an id that was never given and one whose second
/// half is wrong.
Answer<Core::StoredWorkload> workload_of_gwid(
    Core& core, std::string_view text, const char* not_found)
{
    const auto gwid = grid::Gwid::parse(text);
    if (!gwid) return refuse(404, not_found);
    TRY(auto workload, core.workload(gwid->id));
    if (!workload) return refuse(404, no_document);
    if (workload->document.workload_id != gwid->workload_id) return refuse(404, not_found);
    workload->document.next_action = advance(workload->document);
    return *std::move(workload);
}

/// Only the node that a workload is for may speak of it. The originals believe anybody.
Answer<> must_be_the_node(Core& core, const Call& call, const grid::Workload& workload)
{
    if (core.options.lenient) return http::Reply{};
    TRY(const auto signer, signing_node(core, call));
    if (signer != call.parts[0])
        return refuse(
            403,
            "trying to report for node " + printable(call.parts[0]) + " while you are " + signer);
    if (workload.node_id != signer)
        return refuse(403, "workload " + workload.gwid().text() + " is not for node " + signer);
    return http::Reply{};
}

Answer<> must_be_signed(Core& core, const Call& call, const grid::WorkloadResult& result)
{
    if (core.options.lenient) return http::Reply{};
    // The very bytes of the body are signed, not what we would write.
    const auto tree = grid::json::parse(call.request.body);
    const auto* data = tree ? tree->find("data_json") : nullptr;
    const auto message = grid::result_signing_bytes(
        result.state, result.message, data == nullptr ? std::string_view{"null"} : data->raw);
    const auto key = identity::key_of_node(call.parts[0]);
    if (key && identity::verify_hex(*key, message, result.signature)) return http::Reply{};
    return refuse(401, "invalid result signature: signature verification failed");
}

}  // namespace

Answer<> poll_workloads(Core& core, Call& call)
{
    const auto text = call.argument("from");
    const bool is_number = text && !text->empty() &&
                           std::ranges::all_of(*text, [](char c) { return c >= '0' && c <= '9'; });
    if (!is_number) return refuse(404, "404 page not found\n", Refusal::Form::plain);
    TRY(const auto from, integer_of(*text, "invalid id format: "));
    const auto& node = call.parts[0];

    TRY(const auto scanned,
        entries(
            core,
            "SELECT id, workload_id, next_action FROM workload WHERE node = ? AND id >= ? AND "
            "next_action IN (3, 4) ORDER BY id LIMIT 200",
            {node, from}));
    std::vector<PollEntry> queued;
    if (scanned.empty()) {
        TRY(queued,
            entries(
                core,
                "SELECT w.id, w.workload_id, w.next_action FROM queue q JOIN workload w ON w.id = "
                "q.id WHERE q.node = ? ORDER BY q.number LIMIT 200",
                {node}));
    }
    TRY(const auto counter, core.last_id("workload"));
    const auto page = select_page(from, scanned, queued, counter);

    std::string list = page.entries.empty() ? "null" : "[";
    for (const auto& entry : page.entries) {
        TRY(const auto workload, core.workload(entry.id));
        if (!workload) continue;
        if (list.size() > 1) list += ',';
        list += show(*workload);
    }
    if (!page.entries.empty()) list += ']';
    auto reply = json_reply(200, std::move(list));
    reply.headers.add("x-last-id", std::to_string(page.last_id));
    return reply;
}

Answer<> get_by_gwid(Core& core, Call& call)
{
    TRY(const auto workload, workload_of_gwid(core, call.part(0), "workload not found"));
    return json_reply(200, show(workload));
}

Answer<> put_result(Core& core, Call& call)
{
    TRY(auto result, body_of<grid::WorkloadResult>(call));
    TRY(auto workload, workload_of_gwid(core, call.part(1), "workload id does not exist"));
    auto& document = workload.document;
    TRY_DO(must_be_the_node(core, call, document));
    TRY_DO(must_be_signed(core, call, result));

    // Late news of what has ended must not bring it back, or charge anybody.
    if (document.next_action != NextAction::deploy) return null_reply(201);

    result.workload_id = document.gwid().text();
    result.node_id = call.parts[0];
    result.epoch.unix = call.now;
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
    TRY(auto workload, workload_of_gwid(core, call.part(1), "workload not found"));
    auto& document = workload.document;
    TRY_DO(must_be_the_node(core, call, document));

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
