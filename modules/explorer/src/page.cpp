#include <algorithm>

#include "base/text.hpp"
#include "explorer/node_api.hpp"
#include "grid/document.hpp"
#include "grid/json.hpp"

namespace znode::explorer {
namespace {

// A page of 200 workloads; each may carry keys, environments and metadata.
constexpr grid::json::Limits page_limits{.bytes = std::size_t{64} << 20U, .values = 2'000'000};

std::int64_t number_of(const grid::json::Value& entry, std::string_view member)
{
    const auto* value = entry.find(member);
    const bool is_number = value && value->kind == grid::json::Value::Kind::number;
    const auto number = is_number ? grid::from_json<std::int64_t>(*value) : Result<std::int64_t>{0};
    return number.value_or(0);
}

PollEntry read_entry(const grid::json::Value& value)
{
    PollEntry entry;
    entry.document = grid::json::compact(value.raw);
    const auto id = number_of(value, "id");
    if (id > 0) entry.gwid = grid::Gwid{id, number_of(value, "workload_id")};
    const auto action = number_of(value, "next_action");
    if (action >= 0 && action <= 255) entry.next_action = static_cast<grid::NextAction>(action);
    entry.customer_tid = number_of(value, "customer_tid");
    if (const auto epoch = number_of(value, "customer_epoch"); epoch > 0)
        entry.customer_epoch = epoch;

    entry.workload = grid::from_json<grid::Workload>(value);
    if (entry.workload && !entry.gwid) entry.workload = fail(Errc::invalid, "workload has no id");
    return entry;
}

/// The end of a reservation, at most what an explorer can mean; a nonsensical one never comes.
std::int64_t end_of(const grid::legacy::ReservationWorkload& reserved)
{
    constexpr std::int64_t latest = 253'402'300'799;  // The year 9999.
    if (!reserved.created.is_set() || reserved.duration > latest) return 0;
    const auto end = reserved.created.unix + std::max<std::int64_t>(reserved.duration, 0);
    return end < latest ? std::max<std::int64_t>(end, 1) : 0;
}

PollEntry read_legacy_entry(const grid::json::Value& value, std::string_view node_id)
{
    using Kind = grid::json::Value::Kind;
    PollEntry entry;
    entry.era = Era::reservations;
    entry.document = grid::json::compact(value.raw);
    // What can be known of a broken entry, so that its owner can be told.
    if (const auto* id = value.find("workload_id"); id && id->kind == Kind::string)
        if (const auto gwid = grid::Gwid::parse(id->text)) entry.gwid = *gwid;
    if (const auto* gone = value.find("to_delete"); gone && gone->raw == "true")
        entry.next_action = grid::NextAction::remove;
    if (const auto* user = value.find("user"); user && user->kind == Kind::string)
        entry.customer_tid = to_number<std::int64_t>(user->text).value_or(0);

    const auto reserved = grid::from_json<grid::legacy::ReservationWorkload>(value);
    if (!reserved) {
        entry.workload = tl::unexpected(reserved.error());
        return entry;
    }
    entry.expires = end_of(*reserved);
    entry.workload = grid::legacy::to_workload(*reserved, node_id);
    if (!entry.workload) return entry;
    entry.next_action = entry.workload->next_action;
    entry.document = grid::to_json(*entry.workload);
    return entry;
}

template <class Read>
Result<std::vector<PollEntry>> read_entries(std::string_view body, Read read)
{
    TRY(const auto page, grid::json::parse(body, page_limits));
    std::vector<PollEntry> entries;
    if (page.is_null()) return entries;
    if (page.kind != grid::json::Value::Kind::array)
        return fail(Errc::invalid, "page of workloads is not a list");
    entries.reserve(page.items.size());
    for (const auto& item : page.items) entries.push_back(read(item));
    return entries;
}

}  // namespace

Result<std::vector<PollEntry>> read_page(std::string_view body)
{
    return read_entries(body, read_entry);
}

Result<std::vector<PollEntry>> read_legacy_page(std::string_view body, std::string_view node_id)
{
    return read_entries(
        body, [&](const grid::json::Value& item) { return read_legacy_entry(item, node_id); });
}

}  // namespace znode::explorer
