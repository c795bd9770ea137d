#include "proof.hpp"

#include <functional>
#include <map>

#include "base/hex.hpp"
#include "base/text.hpp"
#include "grid/challenge.hpp"
#include "grid/document.hpp"
#include "grid/json.hpp"

namespace znode::explorer_server {
namespace {

using grid::json::Value;
using Kind = Value::Kind;

/// Writes one proof. The first thing that has a wrong type is remembered, and the rest is nothing.
class ProofWriter {
public:
    std::string text(const Value* value)
    {
        std::string out;
        grid::json::append_string(out, is(value, Kind::string, "text") ? value->text : "");
        return out;
    }
    std::string number(const Value* value)
    {
        return is(value, Kind::number, "a number") ? std::string{value->raw} : "0";
    }
    /// A list, each of its items written by `item`; null when it is absent.
    std::string list(const Value* value, const std::function<std::string(const Value&)>& item)
    {
        if (!is(value, Kind::array, "a list")) return "null";
        std::string out = "[";
        for (const auto& one : value->items) {
            if (out.size() > 1) out += ',';
            out += item(one);
        }
        return out + "]";
    }
    /// An object whose members are sorted by name, the last of duplicates counts.
    std::string map(const Value* value, const std::function<std::string(const Value&)>& item)
    {
        if (!is(value, Kind::object, "an object")) return "null";
        std::map<std::string, std::string> sorted;
        for (const auto& member : value->members) sorted[member.name] = item(member.value);
        std::string out = "{";
        for (const auto& [name, written] : sorted) {
            if (out.size() > 1) out += ',';
            grid::json::append_string(out, name);
            out += ":" + written;
        }
        return out + "}";
    }
    /// A member of something that must be an object, or nothing.
    const Value* member(const Value* value, std::string_view name)
    {
        return is(value, Kind::object, "an object") ? value->find(name) : nullptr;
    }
    std::optional<Error> wrong = {};

private:
    bool is(const Value* value, Kind kind, std::string_view wanted)
    {
        if (value == nullptr || value->is_null()) return false;
        if (value->kind == kind) return true;
        if (!wrong)
            wrong = Error{
                Errc::invalid,
                "json: must be " + std::string{wanted} + ", not " + printable(value->raw, 40)};
        return false;
    }
};

std::string hardware_of(ProofWriter& write, const Value* dmi)
{
    const auto property = [&](const Value& value) {
        const auto items = write.list(
            write.member(&value, "items"), [&](const Value& item) { return write.text(&item); });
        return "{\"items\":" + items + ",\"val\":" + write.text(write.member(&value, "value")) +
               "}";
    };
    const auto subsection = [&](const Value& value) {
        return "{\"properties\":" + write.map(write.member(&value, "properties"), property) +
               ",\"title\":" + write.text(write.member(&value, "title")) + "}";
    };
    const auto section = [&](const Value& value) {
        return "{\"handleline\":" + write.text(write.member(&value, "handleline")) +
               ",\"subsections\":" + write.list(write.member(&value, "subsections"), subsection) +
               ",\"type\":" + write.number(write.member(&value, "typenum")) +
               ",\"typestr\":" + write.text(write.member(&value, "typestr")) + "}";
    };
    const auto* tooling = write.member(dmi, "tooling");
    return "{\"sections\":" + write.list(write.member(dmi, "sections"), section) +
           ",\"tooling\":{\"aggregator\":" + write.text(write.member(tooling, "aggregator")) +
           ",\"decoder\":" + write.text(write.member(tooling, "decoder")) + "}}";
}

std::string disks_of(ProofWriter& write, const Value* disks)
{
    const auto text = [&](const Value& value) { return write.text(&value); };
    const auto device = [&](const Value& value) {
        return "{\"environment\":" + write.text(write.member(&value, "Environment")) +
               ",\"information\":" + write.map(write.member(&value, "Information"), text) +
               ",\"tool\":" + write.text(write.member(&value, "Tool")) + "}";
    };
    return "{\"aggregator\":" + write.text(write.member(disks, "aggregator")) +
           ",\"devices\":" + write.list(write.member(disks, "devices"), device) +
           ",\"environment\":" + write.text(write.member(disks, "environment")) +
           ",\"tool\":" + write.text(write.member(disks, "tool")) + "}";
}

std::string digest_of(const std::string& text) { return "\"" + to_hex(grid::sha256(text)) + "\""; }

}  // namespace

Result<grid::RawJson> proof_of(const grid::CapacityReport& report, std::int64_t now)
{
    ProofWriter write;
    const auto null = std::string{"null"};
    const auto& dmi_text = report.dmi.text.empty() ? null : report.dmi.text;
    const auto& disks_text = report.disks.text.empty() ? null : report.disks.text;
    TRY(const auto dmi, grid::json::parse(dmi_text));
    TRY(const auto disks, grid::json::parse(disks_text));
    const auto hardware = hardware_of(write, &dmi);
    const auto drives = disks_of(write, &disks);
    if (write.wrong) return tl::unexpected(*std::move(write.wrong));

    std::string hypervisor = "null";
    if (!report.hypervisor.is_null()) {
        hypervisor = "[";
        for (const auto& name : report.hypervisor) {
            if (hypervisor.size() > 1) hypervisor += ',';
            grid::json::append_string(hypervisor, name);
        }
        hypervisor += ']';
    }
    return grid::RawJson{
        "{\"created\":" + std::to_string(now) + ",\"hardware_hash\":" + digest_of(hardware) +
        ",\"disk_hash\":" + digest_of(drives) + ",\"hardware\":" + hardware +
        ",\"disks\":" + drives + ",\"hypervisor\":" + hypervisor + "}"};
}

}  // namespace znode::explorer_server
