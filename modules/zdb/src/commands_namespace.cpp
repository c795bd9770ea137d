// Commands on namespaces.

#include <sys/statvfs.h>

#include <algorithm>

#include <fmt/format.h>

#include "base/text.hpp"
#include "session.hpp"
#include "words.hpp"

namespace znode::zdb {
namespace {

struct FreeSpace {
    std::uint64_t bytes = 0;
    double megabytes() const { return static_cast<double>(bytes) / 1048576.0; }
};

FreeSpace free_space(const std::filesystem::path& folder)
{
    struct statvfs status{};
    if (::statvfs(folder.c_str(), &status) != 0) return {};
    return {std::uint64_t{status.f_bavail} * status.f_frsize};
}

constexpr const char* yes_no(bool value) { return value ? "yes" : "no"; }

/// The counter as the original prints it: its bytes turned round, without leading zeros.
std::string turned_hex(std::uint64_t value)
{
    const std::uint64_t turned = __builtin_bswap64(value);
    return turned == 0 ? "0x00000000" : fmt::format("{:#x}", turned);
}

}  // namespace

void Commands::nsnew(Session& session, Arguments arguments)
{
    if (arguments.size() != 2) return fail(session, unexpected_arguments);
    if (!admin(session)) return;
    const auto name = arguments[1];
    if (name.empty()) return fail(session, "Invalid argument");
    if (name.size() > name_limit) return fail(session, "Namespace too long");
    // A line end in a name would make lines of its own in NSINFO.
    const bool printable_name = std::ranges::none_of(
        name, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
    if (name == "." || name == ".." || name == "default" || !printable_name ||
        name.find('/') != std::string_view::npos)
        return fail(session, "This name is not allowed");
    if (engine_.find(name) != nullptr) return fail(session, "This namespace is not available");
    if (!engine_.create(name)) return fail(session, "Could not create namespace");
    reply_status(session.out, "OK");
}

void Commands::nsdel(Session& session, Arguments arguments)
{
    if (arguments.size() != 2) return fail(session, unexpected_arguments);
    if (!admin(session)) return;
    if (arguments[1].empty()) return fail(session, "Invalid argument");
    if (arguments[1] == "default") return fail(session, "Cannot remove default namespace");
    Space* space = engine_.find(arguments[1]);
    if (space == nullptr) return fail(session, "This namespace doesn't exists");
    if (space == session.space)
        return fail(session, "Cannot remove namespace you're currently using.");
    if (!engine_.remove(*space)) return fail(session, "Could not delete this namespace");
    move_sessions(space, nullptr);
    reply_status(session.out, "OK");
}

void Commands::move_sessions(const Space* from, Space* to)
{
    for (Session* other : sessions_) {
        if (other->space != from) continue;
        other->space = to;
        if (to == nullptr) other->mget.clear();
        if (to == nullptr && !other->waiting_for.empty()) {
            other->waiting_for.clear();
            reply_error(
                other->out, "Your active namespace is not available anymore (probably removed).");
            other->closing = true;
            woken.push_back(other);
        }
    }
}

void Commands::nslist(Session& session, Arguments)
{
    const auto spaces = engine_.spaces();
    reply_array(session.out, spaces.size());
    for (const Space* space : spaces) reply_bulk(session.out, space->name());
}

void Commands::nsinfo(Session& session, Arguments arguments)
{
    if (arguments.size() != 2) return fail(session, unexpected_arguments);
    if (arguments[1].empty()) return fail(session, "Invalid argument");
    if (arguments[1].size() > name_limit) return fail(session, "Namespace too long");
    const Space* space = engine_.find(arguments[1]);
    if (space == nullptr) return fail(session, namespace_not_found);
    const Settings& settings = space->settings();
    const Counters& counters = space->counters();
    std::string text = fmt::format(
        "# namespace\nname: {}\nentries: {}\npublic: {}\nworm: {}\nlocked: {}\npassword: {}\n"
        "data_size_bytes: {}\ndata_size_mb: {:.2f}\ndata_limits_bytes: {}\nindex_size_bytes: {}\n"
        "index_size_kb: {:.2f}\nnext_internal_id: {}\nmode: {}\n",
        space->name(),
        space->entries(),
        yes_no(settings.public_access),
        yes_no(settings.worm),
        yes_no(settings.locked || settings.frozen),
        yes_no(!settings.password.empty()),
        space->live_bytes(),
        static_cast<double>(space->live_bytes()) / 1048576.0,
        settings.maxsize,
        space->index_bytes(),
        static_cast<double>(space->index_bytes()) / 1024.0,
        turned_hex(space->next_id()),
        settings.mode == Mode::user ? "userkey" : "sequential");
    // Its numbers are none: it may hold anything.
    if (space->failed()) text += "failed: yes\n";
    text += fmt::format(
        "stats_index_io_errors: {}\nstats_index_io_error_last: {}\nstats_index_faults: {}\n"
        "stats_data_io_errors: {}\nstats_data_io_error_last: {}\nstats_data_faults: {}\n",
        counters.index_errors,
        counters.index_error_last,
        counters.index_faults,
        counters.data_errors,
        counters.data_error_last,
        counters.data_faults);
    if (settings.maxsize > 0) {
        const auto left = settings.maxsize - std::min(settings.maxsize, space->live_bytes());
        text += fmt::format(
            "space_available: {}\n", std::min<std::uint64_t>(left, 0x7FFFFFFFFFFFFFFFULL));
    }
    const auto index_free = free_space(engine_.config().index);
    const auto data_free = free_space(engine_.config().data);
    text += fmt::format(
        "index_disk_freespace_bytes: {}\nindex_disk_freespace_mb: {:.2f}\n"
        "data_disk_freespace_bytes: {}\ndata_disk_freespace_mb: {:.2f}\n",
        index_free.bytes,
        index_free.megabytes(),
        data_free.bytes,
        data_free.megabytes());
    if (session.master) text += fmt::format("password_raw: {}\n", settings.password.reveal());
    if (session.admin) {
        const auto segment = std::max(space->active_segment(), 1U);
        text += fmt::format(
            "data_path: {}\ndata_active: {}\nindex_path: {}\nindex_active: {}\n"
            "data_current_id: {}\ndata_current_offset: {}\n",
            space->data_folder().string(),
            (space->data_folder() / (std::to_string(segment) + ".seg")).string(),
            space->index_folder().string(),
            (space->index_folder() / (settings.mode == Mode::user ? "hint" : "ids")).string(),
            segment - 1,
            space->active_size());
    }
    reply_bulk(session.out, text);
}

void Commands::nsset(Session& session, Arguments arguments)
{
    if (!admin(session)) return;
    if (arguments.size() != 4) return fail(session, unexpected_arguments);
    for (const auto argument : arguments.subspan(1))
        if (argument.empty()) return fail(session, "Invalid argument");
    if (arguments[1].size() > name_limit) return fail(session, "Namespace too long");
    if (arguments[2].size() > 256 || arguments[3].size() > 63)
        return fail(session, "Argument too long");
    Space* space = engine_.find(arguments[1]);
    if (space == nullptr) return fail(session, namespace_not_found);
    const auto property = arguments[2];
    if (property == "mode") return set_mode(session, *space, arguments[3]);
    if (property == "next_id") return set_next_id(session, *space, arguments[3]);
    const bool for_default = property == "lock" || property == "freeze";
    if (space->name() == "default" && !for_default)
        return fail(session, "Cannot update default namespace");
    if (set_property(session, *space, property, arguments[3])) reply_status(session.out, "OK");
}

bool Commands::set_property(
    Session& session, Space& space, std::string_view property, std::string_view value)
{
    Settings settings = space.settings();
    const bool on = value[0] == '1';
    if (property == "maxsize") {
        settings.maxsize = lenient_number(value);
    } else if (property == "password") {
        settings.password = Secret{value == "*" ? std::string{} : std::string{value}};
    } else if (property == "public") {
        settings.public_access = on;
    } else if (property == "worm") {
        settings.worm = on;
    } else if (property == "lock") {
        settings.locked = on;
    } else if (property == "freeze") {
        settings.frozen = on;
        if (!on) settings.locked = false;
    } else {
        fail(session, "Invalid property");
        return false;
    }
    if (engine_.configure(space, std::move(settings))) return true;
    fail(session, "Cannot write data right now");
    return false;
}

void Commands::set_mode(Session& session, Space& space, std::string_view value)
{
    if (engine_.config().single_mode)
        return fail(session, "This server instance is configured to use a single runtime mode");
    if (space.used()) return fail(session, "Cannot change mode of used namespace");
    if (value != "user" && value != "seq")
        return fail(session, "Invalid property value (expected: user, seq)");
    Settings settings = space.settings();
    settings.mode = value == "seq" ? Mode::sequential : Mode::user;
    if (!engine_.configure(space, std::move(settings)))
        return fail(session, "Cannot write data right now");
    reply_status(session.out, "OK");
}

void Commands::set_next_id(Session& session, Space& space, std::string_view value)
{
    if (!session.unix_socket) return fail(session, "Permission denied");
    const auto number = to_number<std::uint64_t>(value);
    if (!number || *number > (std::uint64_t{1} << 56U) || !engine_.raise_next_id(space, *number))
        return fail(session, "Invalid property value");
    reply_status(session.out, "OK");
}

void Commands::nsjump(Session& session, Arguments)
{
    if (!admin(session)) return;
    if (!engine_.rotate(*session.space)) return fail(session, "Cannot write data right now");
    reply_status(session.out, "OK");
}

void Commands::select(Session& session, Arguments arguments)
{
    if (arguments.size() < 2) return fail(session, "Invalid argument");
    if (arguments.size() > 4) return fail(session, "Too many arguments");
    if (arguments[1].size() > name_limit) return fail(session, "Namespace too long");
    Space* space = engine_.find(arguments[1]);
    if (space == nullptr) return fail(session, namespace_not_found);
    const Settings& settings = space->settings();
    bool writable = true;
    if (!settings.password.empty()) {
        if (arguments.size() == 2) {
            if (!settings.public_access) return fail(session, "Namespace protected and private");
            writable = false;
        } else if (arguments.size() == 3) {
            if (arguments[2].size() > 255) return fail(session, "Password too long");
            if (!same_secret(arguments[2], settings.password.reveal()))
                return fail(session, "Access denied");
        } else {
            if (!is_prefix(arguments[2], "SECURE"))
                return fail(session, "Only SECURE extra method supported");
            if (!secret_matches(session, settings.password, arguments[3], false)) return;
        }
    }
    session.space = space;
    session.writable = writable;
    reply_status(session.out, "OK");
}

void Commands::reload(Session& session, Arguments arguments)
{
    if (!admin(session)) return;
    if (arguments.size() != 2) return fail(session, unexpected_arguments);
    Space* space = engine_.find(arguments[1]);
    if (space == nullptr) return fail(session, namespace_not_found);
    const auto fresh = engine_.reload(*space);
    if (!fresh) return fail(session, "Internal Error");
    move_sessions(space, *fresh);
    reply_status(session.out, "OK");
}

void Commands::flush(Session& session, Arguments)
{
    const Settings& settings = session.space->settings();
    if (settings.password.empty() || settings.public_access)
        return fail(session, "Flushing public namespace denied");
    if (!may_write(session)) return;
    const auto fresh = engine_.empty(*session.space);
    if (!fresh) return fail(session, "Cannot write data right now");
    const Space* old = session.space;
    move_sessions(old, *fresh);
    reply_status(session.out, "OK");
}

}  // namespace znode::zdb
