#include <algorithm>

#include "base/hex.hpp"
#include "base/text.hpp"
#include "explorer_server/accounting.hpp"
#include "explorer_server/lifecycle.hpp"
#include "grid/challenge.hpp"
#include "identity/identity.hpp"
#include "reservations.hpp"

namespace znode::explorer_server {
namespace {

using grid::NextAction;
using grid::WorkloadType;

constexpr std::size_t metadata_limit = 1024;
/// A new workload must find its pool lasting longer than this.
constexpr std::int64_t least_pool_time = 120;

bool runs_on_a_node(WorkloadType type)
{
    return type <= WorkloadType::kubernetes || type == WorkloadType::network_resource ||
           type == WorkloadType::public_ip;
}

Answer<grid::Workload> workload_of_body(const Call& call)
{
    auto tree = grid::json::parse(call.request.body, sent_limits);
    if (!tree) return refuse(400, "could not decode workload type: " + tree.error().message);
    if (const auto* type = tree->find("workload_type"); type != nullptr && !type->is_null()) {
        if (type->kind != grid::json::Value::Kind::number)
            return refuse(400, "could not decode workload type: json: it must be a number");
        const auto number = to_number<unsigned>(type->raw);
        if (!number || *number == 3 || *number > 11)
            return refuse(400, "unrecognized workload type");
    }
    auto workload = grid::from_json<grid::Workload>(*tree);
    if (!workload) return refuse(400, workload.error().message);
    return *std::move(workload);
}

Answer<> check_members(const grid::Workload& workload)
{
    if (workload.customer_tid == 0) return refuse(400, "customer_tid is required");
    if (workload.customer_signature.empty()) return refuse(400, "customer_signature is required");
    if (workload.metadata.size() > metadata_limit)
        return refuse(400, "metadata can not be bigger than 1024 bytes");
    if (workload.pool_id == 0) return refuse(400, "pool is required");
    if (!workload.reference.empty()) return refuse(400, "reference is illegal for new workloads");
    return http::Reply{};
}

Answer<> check_node(Core& core, const grid::Workload& workload)
{
    if (!runs_on_a_node(workload.workload_type)) return http::Reply{};
    TRY(const auto node, core.node(workload.node_id));
    if (!node)
        return refuse(
            400, "cannot find node with id '" + printable(workload.node_id) + "': " + no_document);
    if (node->dedicated != 0 && node->dedicated != workload.customer_tid)
        return refuse(
            401,
            "node accepts only reservations from user with id: " + std::to_string(node->dedicated));
    return http::Reply{};
}

Answer<> check_customer_signature(Core& core, const grid::Workload& workload)
{
    TRY(const auto user, core.user(workload.customer_tid));
    if (!user)
        return refuse(
            400,
            "cannot find user with id '" + std::to_string(workload.customer_tid) +
                "': " + no_document);
    TRY(const auto signature,
        hex_of(
            workload.customer_signature, "invalid signature format, expecting hex encoded string"));
    const auto key = identity::key_of_hex(user->pubkey);
    if (!key || !identity::verify(*key, grid::create_message(workload), signature))
        return refuse(400, "failed to verify customer signature: signature verification failed");
    return http::Reply{};
}

/// Gives this workload its address (`take`), or looks whether it could have it. 409 when it is not
/// there or taken.
Answer<> public_ip(Core& core, const grid::Workload& workload, bool take)
{
    const auto* wanted = std::get_if<grid::PublicIp>(&workload.data);
    if (wanted == nullptr) return http::Reply{};
    TRY(const auto node, core.node(workload.node_id));
    TRY(auto farm, core.farm(node ? node->farm_id : 0));
    if (farm) {
        const auto found =
            std::ranges::find(farm->ipaddresses, wanted->ipaddress, &grid::FarmIp::address);
        // Former versions gave it to what still waits for consent.
        if (found != farm->ipaddresses.end() &&
            (found->reservation_id == 0 || found->reservation_id == workload.id)) {
            if (!take) return http::Reply{};
            found->reservation_id = workload.id;
            TRY_DO(core.save_farm(*farm));
            return http::Reply{};
        }
    }
    return refuse(409, "ip is not available for reservation");
}

/// A virtual machine's address must be the same customer's, and no other machine's.
Answer<> check_kubernetes_ip(Core& core, const grid::Workload& workload)
{
    const auto* machine = std::get_if<grid::Kubernetes>(&workload.data);
    if (machine == nullptr || machine->public_ip == 0) return http::Reply{};
    const auto missing = [&] {
        return refuse(
            404,
            "ip workload '" + std::to_string(machine->public_ip) + "' not found: " + no_document);
    };
    TRY(const auto address, core.workload(machine->public_ip));
    if (!address || address->document.workload_type != WorkloadType::public_ip ||
        address->document.next_action != NextAction::deploy ||
        address->document.customer_tid != workload.customer_tid)
        return missing();
    TRY(const auto others,
        core.documents<grid::Workload>(
            "SELECT document FROM workload WHERE customer = ? AND next_action = 3",
            {workload.customer_tid}));
    for (const auto& other : others) {
        const auto* sibling = std::get_if<grid::Kubernetes>(&other.data);
        if (sibling != nullptr && sibling->public_ip == machine->public_ip)
            return refuse(409, "public ip is in use");
    }
    return http::Reply{};
}

/// Refuses a document that has its id already: it stays, invalid, so that its customer can see it
/// and no node ever does.
Answer<> store_refused(Core& core, Core::StoredWorkload& workload, Refusal refusal)
{
    workload.document.next_action = NextAction::invalid;
    TRY_DO(core.save_workload(workload));
    return tl::unexpected(std::move(refusal).keeping());
}

Answer<> check_pool(Core& core, const Call& call, const grid::Workload& workload)
{
    // A disk of no known type would be free of charge.
    if (const auto* container = std::get_if<grid::Container>(&workload.data)) {
        const auto type = container->capacity.disk_type;
        if (container->capacity.disk_size > 0 && type != grid::DiskType::hdd &&
            type != grid::DiskType::ssd)
            return refuse(
                400, "disk type " + std::to_string(static_cast<unsigned>(type)) + " is unknown");
    }
    const auto units = grid::resource_units(workload);
    TRY(const auto pool, core.pool(workload.pool_id));
    if (!units || !pool)
        return refuse(
            400,
            "could not load the required capacity pool: " +
                (units ? std::string{"it is gone"} : units.error().message));
    if (!would_last(*pool, grid::cloud_units(*units), call.now, least_pool_time))
        return refuse(402, "pool needs additional capacity to support this workload");
    return http::Reply{};
}

/// Gives it to its node, and its address to it: nothing is paid here.
Answer<> start(Core& core, Core::StoredWorkload& workload, http::Reply reply)
{
    TRY_DO(public_ip(core, workload.document, true));
    workload.document.next_action = NextAction::deploy;
    TRY_DO(core.save_workload(workload));
    TRY_DO(core.enqueue(workload.document));
    return reply;
}

Answer<Core::StoredWorkload> workload_of_path(Core& core, const Call& call)
{
    auto id = integer_of(call.part(0));
    if (!id) return refuse(400, "id must be an integer");
    TRY(auto workload, core.workload(*id));
    if (!workload) return refuse(404, no_document);
    workload->document.next_action = advance(workload->document);
    return *std::move(workload);
}

bool is_signer(const grid::SigningRequest& request, std::int64_t tid)
{
    return std::ranges::find(request.signers, tid) != request.signers.end();
}

}  // namespace

std::string show(const Core::StoredWorkload& workload)
{
    auto document = workload.document;
    document.next_action = advance(document);
    auto json = grid::to_json(document);
    // The server's clock has replaced the epoch that the customer signed; with it beside, everybody
    // can still check the signature.
    if (workload.has_epoch) {
        json.pop_back();
        json += ",\"customer_epoch\":" + std::to_string(workload.customer_epoch) + "}";
    }
    return json;
}

Answer<> create_workload(Core& core, Call& call)
{
    TRY(const auto signer, signing_user(core, call));
    TRY(auto workload, workload_of_body(call));
    workload.next_action = NextAction::create;
    TRY_DO(check_members(workload));
    if (workload.customer_tid != signer)
        return refuse(401, "request user identity does not match the reservation customer-tid");
    TRY_DO(check_node(core, workload));
    TRY_DO(check_customer_signature(core, workload));
    TRY(const auto pool, core.pool(workload.pool_id));
    if (!pool) return refuse(404, "pool does not exist");
    const bool in_pool =
        std::ranges::find(pool->node_ids, workload.node_id) != pool->node_ids.end();
    if (pool->customer_tid != workload.customer_tid || !in_pool)
        return refuse(403, "not allowed to deploy workload on this pool");

    Core::StoredWorkload stored{.customer_epoch = workload.epoch.unix, .has_epoch = true};
    TRY(const auto id, core.next_id("workload"));
    grid::accept_created(workload, id, {.unix = call.now});
    stored.document = std::move(workload);
    auto& document = stored.document;
    TRY_DO(stored_text(document, "workload", largest_order));
    // An address is taken when it starts: whoever never consents must not keep it from others.
    for (const auto& verdict :
         {check_pool(core, call, document),
          check_kubernetes_ip(core, document),
          public_ip(core, document, false)})
        if (!verdict) return store_refused(core, stored, verdict.error());

    core.log->info(
        "workload created id={} type={} customer={}",
        document.gwid().text(),
        grid::to_string(document.workload_type),
        document.customer_tid);
    auto reply = json_reply(201, grid::to_json(grid::CreateReply{id}));
    document.next_action = advance(document);
    if (document.next_action == NextAction::pay) return start(core, stored, std::move(reply));
    // Whoever is named must consent first.
    TRY_DO(core.save_workload(stored));
    return reply;
}

Answer<> list_workloads(Core& core, Call& call)
{
    std::vector<std::int64_t> ids;
    TRY(auto reply, list_of_customers(core, call, "workload", ids));
    std::string list = "[";
    for (const auto id : ids) {
        const auto workload = core.workload(id);
        if (!workload) {
            core.log->error(
                "workload is left out id={} error=\"{}\"", id, workload.error().message);
            continue;
        }
        if (!*workload) continue;
        if (!append_to_page(list, show(**workload))) return page_too_large();
    }
    reply.body = list + "]\n";
    return reply;
}

Answer<> get_workload(Core& core, Call& call)
{
    if (!integer_of(call.part(0))) return refuse(400, "invalid reservation id");
    TRY(const auto workload, workload_of_path(core, call));
    return json_reply(200, show(workload));
}

namespace {

Answer<identity::PublicKey> key_of(Core& core, std::int64_t tid)
{
    TRY(const auto user, core.user(tid));
    if (!user) return refuse(404, std::string{"customer id not found: "} + no_document);
    const auto key = identity::key_of_hex(user->pubkey);
    if (!key) return refuse(500, key.error().message);
    return *key;
}

}  // namespace

Answer<> sign_delete(Core& core, Call& call)
{
    TRY(auto signature, body_of<grid::SigningSignature>(call));
    TRY(auto workload, workload_of_path(core, call));
    auto& document = workload.document;
    const auto who = std::to_string(signature.tid);
    if (!is_signer(document.signing_request_delete, signature.tid))
        return refuse(401, "signature not required for user '" + who + "'");
    const bool signed_before = std::ranges::any_of(
        document.signatures_delete,
        [&](const grid::SigningSignature& old) { return old.tid == signature.tid; });
    if (signed_before)
        return refuse(400, "user " + who + " has already signed the reservation for deletion");
    TRY(const auto key, key_of(core, signature.tid));
    auto raw = hex_of(signature.signature, "failed to verify signature");
    if (!raw) return refuse(401, raw.error().text);
    if (!identity::verify(key, grid::delete_message(document, signature.tid), *raw))
        return refuse(401, "failed to verify signature: signature verification failed");

    signature.epoch.unix = call.now;
    document.signatures_delete.push_back(signature);
    const auto before = document.next_action;
    document.next_action = advance(document);
    TRY_DO(core.save_workload(workload));
    if (document.next_action == NextAction::remove && before != NextAction::remove) {
        TRY_DO(core.enqueue(document));
        core.log->info("workload ends by its customer id={}", document.gwid().text());
    }
    return null_reply(201);
}

Answer<> sign_provision(Core& core, Call& call)
{
    TRY(auto signature, body_of<grid::SigningSignature>(call));
    // One route for both eras, as their ids come from one counter.
    if (const auto id = integer_of(call.part(0)); id) {
        TRY(const bool of_old_era, is_reservation(core, *id));
        if (of_old_era) return sign_reservation_provision(core, call);
    }
    TRY(const auto raw,
        hex_of(signature.signature, "invalid signature expecting hex encoded string"));
    TRY(auto workload, workload_of_path(core, call));
    auto& document = workload.document;
    if (document.next_action != NextAction::sign)
        return refuse(401, "workload not expecting signatures");
    if (!is_signer(document.signing_request_provision, signature.tid))
        return refuse(
            401, "signature not required for user '" + std::to_string(signature.tid) + "'");
    TRY(const auto key, key_of(core, signature.tid));
    if (!identity::verify(key, grid::provision_message(document, signature.tid), raw))
        return refuse(401, "failed to verify signature: signature verification failed");

    std::erase_if(document.signatures_provision, [&](const grid::SigningSignature& old) {
        return old.tid == signature.tid;
    });
    signature.epoch.unix = call.now;
    document.signatures_provision.push_back(std::move(signature));
    document.next_action = advance(document);
    if (document.next_action == NextAction::pay) {
        // Its pool may have been used up while it waited. The last signature can be given again.
        TRY_DO(check_pool(core, call, document));
        TRY_DO(check_kubernetes_ip(core, document));
        return start(core, workload, null_reply(201));
    }
    TRY_DO(core.save_workload(workload));
    return null_reply(201);
}

}  // namespace znode::explorer_server
