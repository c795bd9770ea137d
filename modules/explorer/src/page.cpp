#include "page.hpp"

#include <algorithm>
#include <limits>

#include "base/text.hpp"
#include "grid/document.hpp"

namespace znode::explorer {
namespace {

/// One workload may carry keys, environments and metadata.
constexpr std::size_t longest_entry = std::size_t{1} << 20U;
/// What is read of a page before it counts as one without end.
constexpr std::size_t longest_page = std::size_t{64} << 20U;
constexpr grid::json::Limits entry_limits{
    .bytes = longest_entry, .values = 100'000, .trailing = false};

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

tl::unexpected<Error> no_list() { return fail(Errc::invalid, "page of workloads is not a list"); }

std::int64_t number_of(const grid::json::Value& entry, std::string_view member)
{
    const auto* value = entry.find(member);
    const bool is_number = value && value->kind == grid::json::Value::Kind::number;
    const auto number = is_number ? grid::from_json<std::int64_t>(*value) : Result<std::int64_t>{0};
    return number.value_or(0);
}

/// The end of a reservation, at most what an explorer can mean; a nonsensical one never comes.
std::int64_t end_of(const grid::legacy::ReservationWorkload& reserved)
{
    constexpr std::int64_t latest = 253'402'300'799;  // The year 9999.
    if (!reserved.created.is_set() || reserved.duration > latest) return 0;
    const auto end = reserved.created.unix + std::max<std::int64_t>(reserved.duration, 0);
    return end < latest ? std::max<std::int64_t>(end, 1) : 0;
}

/// The number behind the first such name: of an entry that is not kept whole.
std::int64_t number_behind(std::string_view text, std::string_view name)
{
    const auto quoted = '"' + std::string{name} + '"';
    auto at = text.find(quoted);
    if (at == std::string_view::npos) return 0;
    at = text.find_first_not_of(": \t\r\n", at + quoted.size());
    if (at == std::string_view::npos) return 0;
    const auto end = text.find_first_not_of("0123456789", at);
    return to_number<std::int64_t>(text.substr(at, end - at)).value_or(0);
}

PollEntry broken_entry(std::string_view text, std::string why)
{
    PollEntry entry;
    entry.workload = fail(Errc::invalid, std::move(why));
    if (const auto id = number_behind(text, "id"); id > 0)
        entry.gwid = grid::Gwid{id, number_behind(text, "workload_id")};
    return entry;
}

Result<std::vector<PollEntry>> read_entries(std::string_view body, ReadEntry read)
{
    PageReader reader{std::move(read), std::numeric_limits<std::size_t>::max()};
    TRY_DO(reader.feed(body));
    TRY_DO(reader.end());
    return std::move(reader.entries);
}

}  // namespace

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

Result<> PageReader::feed(std::string_view bytes)
{
    fed_ += bytes.size();
    if (fed_ > longest_page) return fail(Errc::exhausted, "page of workloads does not end");
    for (const char c : bytes) {
        if (at_ == At::element)
            TRY_DO(take(c));
        else if (at_ == At::null || !is_space(c))
            TRY_DO(begin(c));
    }
    return {};
}

/// Outside of an element, where white space means nothing.
Result<> PageReader::begin(char c)
{
    switch (at_) {
        case At::before:
            if (c != '[' && c != 'n') return no_list();
            at_ = c == '[' ? At::list : At::null;
            if (c == 'n') text_ = c;
            return {};
        case At::null:
            text_ += c;
            if (!std::string_view{"null"}.starts_with(trim(text_))) return no_list();
            return {};
        case At::list:
            if (c == ']') {
                if (wants_element_) return no_list();
                at_ = At::after;
                return {};
            }
            at_ = At::element;
            return take(c);
        default:
            return no_list();
    }
}

/// Finds the element's end; whether it is JSON is found out then.
Result<> PageReader::take(char c)
{
    if (in_string_) {
        if (escaped_)
            escaped_ = false;
        else if (c == '\\')
            escaped_ = true;
        else if (c == '"')
            in_string_ = false;
    } else if (c == '"') {
        in_string_ = true;
    } else if (c == '{' || c == '[') {
        ++depth_;
    } else if (depth_ > 0 && (c == '}' || c == ']')) {
        --depth_;
    } else if (depth_ == 0 && (c == ',' || c == ']')) {
        TRY_DO(finish());
        at_ = c == ',' ? At::list : At::after;
        wants_element_ = c == ',';
        return {};
    }
    if (text_.size() < longest_entry)
        text_ += c;
    else
        too_long_ = true;
    return {};
}

Result<> PageReader::finish()
{
    const auto text = std::exchange(text_, {});
    if (trim(text).empty()) return no_list();
    PollEntry entry;
    if (std::exchange(too_long_, false)) {
        entry = broken_entry(text, "it is larger than 1 MiB");
    } else {
        const auto value = grid::json::parse(trim(text), entry_limits);
        entry = value ? read_(*value) : broken_entry(text, value.error().message);
    }
    const auto id = entry.gwid ? entry.gwid->id : 0;
    if (kept_ > 0 && kept_ + text.size() > room_) {
        if (id > 0) left_out_from = left_out_from == 0 ? id : std::min(left_out_from, id);
        return {};
    }
    kept_ += text.size();
    entries.push_back(std::move(entry));
    return {};
}

Result<> PageReader::end() const
{
    if (at_ == At::after || (at_ == At::null && trim(text_) == "null")) return {};
    return fail(Errc::invalid, "page of workloads has no end");
}

Result<std::vector<PollEntry>> read_page(std::string_view body)
{
    return read_entries(body, read_entry);
}

Result<std::vector<PollEntry>> read_legacy_page(std::string_view body, std::string_view node_id)
{
    return read_entries(
        body, [&](const grid::json::Value& entry) { return read_legacy_entry(entry, node_id); });
}

}  // namespace znode::explorer
