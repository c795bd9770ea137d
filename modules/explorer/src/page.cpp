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

    entry.workload = grid::from_json<grid::Workload>(value);
    if (entry.workload && !entry.gwid) entry.workload = fail(Errc::invalid, "workload has no id");
    return entry;
}

}  // namespace

Result<std::vector<PollEntry>> read_page(std::string_view body)
{
    TRY(const auto page, grid::json::parse(body, page_limits));
    std::vector<PollEntry> entries;
    if (page.is_null()) return entries;
    if (page.kind != grid::json::Value::Kind::array)
        return fail(Errc::invalid, "page of workloads is not a list");
    entries.reserve(page.items.size());
    for (const auto& item : page.items) entries.push_back(read_entry(item));
    return entries;
}

}  // namespace znode::explorer
