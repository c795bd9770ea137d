// Commands on namespaces and on the server itself, and the table of all.

#include <sys/statvfs.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include <fmt/format.h>
#include <openssl/evp.h>
#include <sodium.h>

#include "base/hex.hpp"
#include "base/text.hpp"
#include "session.hpp"

namespace znode::zdb {
namespace {

constexpr std::string_view unexpected = "Unexpected arguments";
constexpr std::string_view not_found = "Namespace not found";

/// Order matters: the first name that a request's word is a prefix of is meant.
constexpr std::array table{
    Command{"*", &Commands::star},
    Command{"WAIT", &Commands::wait},
    Command{"MIRROR", &Commands::mirror},
    Command{"MASTER", &Commands::master},
    Command{"PING", &Commands::ping, true},
    Command{"TIME", &Commands::time, true},
    Command{"AUTH", &Commands::auth},
    Command{"HOOKS", &Commands::hooks},
    Command{"INDEX", &Commands::index},
    Command{"DATA", &Commands::data},
    Command{"SET", &Commands::set, true},
    Command{"SETX", &Commands::set, true},
    Command{"GET", &Commands::get, true},
    Command{"MGET", &Commands::mget},
    Command{"DEL", &Commands::del, true},
    Command{"EXISTS", &Commands::exists, true},
    Command{"CHECK", &Commands::check, true},
    Command{"SCAN", &Commands::scan},
    Command{"SCANX", &Commands::scan},
    Command{"RSCAN", &Commands::rscan},
    Command{"KSCAN", &Commands::kscan},
    Command{"HISTORY", &Commands::history},
    Command{"KEYCUR", &Commands::keycur},
    Command{"LENGTH", &Commands::length, true},
    Command{"KEYTIME", &Commands::keytime, true},
    Command{"INFO", &Commands::info},
    Command{"STOP", &Commands::stop},
    Command{"DBSIZE", &Commands::dbsize, true},
    Command{"NSNEW", &Commands::nsnew},
    Command{"NSDEL", &Commands::nsdel},
    Command{"NSLIST", &Commands::nslist},
    Command{"NSSET", &Commands::nsset},
    Command{"NSINFO", &Commands::nsinfo},
    Command{"NSJUMP", &Commands::nsjump},
    Command{"SELECT", &Commands::select},
    Command{"RELOAD", &Commands::reload},
    Command{"FLUSH", &Commands::flush},
};

constexpr char upper(char c) noexcept
{
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}

bool is_prefix(std::string_view word, std::string_view name) noexcept
{
    if (word.size() > name.size()) return false;
    for (std::size_t i = 0; i < word.size(); ++i)
        if (upper(word[i]) != name[i]) return false;
    return true;
}

std::string sha1_hex(std::string_view nonce, std::string_view secret)
{
    std::string text{nonce};
    text += ':';
    text += secret;
    std::array<unsigned char, 20> digest{};
    unsigned size = digest.size();
    const int done =
        ::EVP_Digest(text.data(), text.size(), digest.data(), &size, ::EVP_sha1(), nullptr);
    wipe(text);
    return done == 1 ? to_hex(digest) : std::string{};
}

bool same_secret(std::string_view left, std::string_view right)
{
    return Secret{std::string{left}} == Secret{std::string{right}};
}

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

/// atoll into the unsigned type, as the original does it.
std::uint64_t lenient_number(std::string_view text)
{
    const std::string terminated{text};
    return static_cast<std::uint64_t>(std::strtoll(terminated.c_str(), nullptr, 10));
}

/// The counter as the original prints it: its bytes turned round, without leading zeros.
std::string turned_hex(std::uint64_t value)
{
    const std::uint64_t turned = __builtin_bswap64(value);
    return turned == 0 ? "0x00000000" : fmt::format("{:#x}", turned);
}

}  // namespace

Commands::Commands(Engine& engine, const ServerConfig& config, std::vector<Session*>& sessions)
    : engine_{engine}, config_{config}, sessions_{sessions}, instance_{randombytes_random()}
{
}

const Command* Commands::find(std::string_view name) noexcept
{
    for (const Command& command : table)
        if (is_prefix(name, command.name)) return &command;
    return nullptr;
}

bool Commands::exists(std::string_view name) noexcept
{
    return std::ranges::any_of(table, [&](const Command& command) {
        return command.name.size() == name.size() && is_prefix(name, command.name);
    });
}

std::string_view Commands::refusal(const Command& command) noexcept
{
    return command.name == "DEL" ? "Cannot delete key (data)" : "Cannot write data right now";
}

void Commands::fail(Session& session, std::string_view text)
{
    ++stats.failed;
    reply_error(session.out, text);
}

bool Commands::admin(Session& session)
{
    if (session.admin) return true;
    ++stats.unauthorized;
    reply_error(session.out, "Permission denied");
    return false;
}

void Commands::execute(Session& session, const Command& command, Arguments arguments)
{
    ++stats.executed;
    (this->*command.run)(session, arguments);
    if (!watchers.empty()) notify(session, command, arguments);
}

void Commands::notify(const Session& by, const Command& command, Arguments arguments)
{
    std::erase_if(watchers, [](const Session* one) {
        return one->dead || (one->waiting_for.empty() && !one->mirror);
    });
    for (Session* other : watchers) {
        if (other == &by) continue;
        if (!other->waiting_for.empty() && other->space == by.space &&
            (other->waiting_for == "*" || other->waiting_for == command.name)) {
            reply_status(other->out, command.name);
            other->waiting_for.clear();
            woken.push_back(other);
        }
        if (!other->mirror || by.space == nullptr) continue;
        if (other->out.size() > (std::size_t{64} << 20U)) {
            other->dead = true;  // A mirror that does not read is no mirror.
            continue;
        }
        reply_array(other->out, 3 + arguments.size());
        reply_integer(other->out, std::time(nullptr));
        reply_bulk(other->out, by.space->name());
        reply_integer(other->out, 0);
        for (const auto argument : arguments) reply_bulk(other->out, argument);
        woken.push_back(other);
    }
}

void Commands::star(Session& session, Arguments) { fail(session, "This is not a valid command"); }
void Commands::ping(Session& session, Arguments) { reply_status(session.out, "PONG"); }
void Commands::stop(Session& session, Arguments) { fail(session, "Unauthorized"); }

void Commands::time(Session& session, Arguments)
{
    timeval now{};
    ::gettimeofday(&now, nullptr);
    reply_array(session.out, 2);
    reply_bulk(session.out, std::to_string(now.tv_sec));
    reply_bulk(session.out, std::to_string(now.tv_usec));
}

void Commands::wait(Session& session, Arguments arguments)
{
    if (arguments.size() != 2 && arguments.size() != 3) return fail(session, "Invalid arguments");
    if (!exists(arguments[1])) return fail(session, "Unknown command to watch");
    long long patience = 5000;
    if (arguments.size() == 3) {
        const auto number = to_number<long long>(arguments[2]);
        if (!number || *number < 100 || *number > 1'800'000)
            return fail(session, "Invalid timeout");
        patience = *number;
    }
    session.waiting_for.assign(arguments[1]);
    std::ranges::transform(session.waiting_for, session.waiting_for.begin(), upper);
    session.waiting_until = std::chrono::steady_clock::now() + std::chrono::milliseconds{patience};
    watchers.push_back(&session);
}

void Commands::mirror(Session& session, Arguments)
{
    if (!admin(session)) return;
    reply_status(session.out, "Starting mirroring");
    session.mirror = true;
    watchers.push_back(&session);
}

void Commands::master(Session& session, Arguments)
{
    if (!admin(session)) return;
    reply_status(session.out, "Hello, master");
    session.master = true;
}

void Commands::hooks(Session& session, Arguments)
{
    // Events take the place of hooks: no program is ever started by this server.
    if (admin(session)) reply_array(session.out, 0);
}

bool Commands::secret_matches(
    Session& session, const Secret& secret, std::string_view hash, bool once_only)
{
    if (session.nonce.empty()) {
        fail(session, "No CHALLENGE requested, secure authentication not available");
        return false;
    }
    if (hash.size() != 40) {
        fail(session, "Invalid hash length");
        return false;
    }
    const bool right = same_secret(hash, sha1_hex(session.nonce, secret.reveal()));
    // A hash that was good once must not be good again for who overheard it.
    if (right || once_only) session.nonce.clear();
    if (!right) fail(session, "Access denied");
    return right;
}

void Commands::auth(Session& session, Arguments arguments)
{
    const Secret& password = config_.admin_password;
    if (arguments.size() == 2) {
        if (arguments[1].empty()) return fail(session, "Invalid argument");
        if (password.empty()) return fail(session, "Authentication disabled");
        if (arguments[1].size() > 128) return fail(session, "Password too long");
        if (!same_secret(arguments[1], password.reveal())) return fail(session, "Access denied");
    } else if (arguments.size() == 3) {
        if (!is_prefix(arguments[1], "SECURE"))
            return fail(session, "Only SECURE extra method supported");
        if (!arguments[2].empty() && is_prefix(arguments[2], "CHALLENGE")) {
            std::array<unsigned char, 8> random{};
            randombytes_buf(random.data(), random.size());
            session.nonce = to_hex(random);
            return reply_status(session.out, session.nonce);
        }
        if (password.empty()) return fail(session, "Authentication disabled");
        if (!secret_matches(session, password, arguments[2], true)) return;
    } else {
        return fail(session, unexpected);
    }
    session.admin = true;
    reply_status(session.out, "OK");
}

void Commands::index(Session& session, Arguments arguments)
{
    if (!admin(session)) return;
    if (arguments.size() < 2) return fail(session, "Missing arguments");
    if (!is_prefix("DIRTY", "DIRTY") || to_lower(arguments[1]) != "dirty")
        return fail(session, "Unknown INDEX subcommand");
    if (arguments.size() > 2) {
        if (to_lower(arguments[2]) != "reset")
            return fail(session, "Unknown INDEX DIRTY subcommand");
        session.space->reset_dirty();
        return reply_status(session.out, "OK");
    }
    const auto dirty = session.space->dirty_segments();
    reply_array(session.out, dirty.size());
    for (const auto number : dirty) reply_integer(session.out, number - 1);
}

void Commands::data(Session& session, Arguments arguments)
{
    if (!admin(session)) return;
    if (arguments.size() < 2) return fail(session, "Missing arguments");
    if (to_lower(arguments[1]) != "raw") return fail(session, "Unknown DATA subcommand");
    if (arguments.size() < 4) return fail(session, "Missing arguments");
    Space& space = *session.space;
    // Files count from 0 and their first record lies at 28, as in the original.
    constexpr std::uint64_t shift = 192 - 28;
    const std::uint64_t file = lenient_number(arguments[2]) + 1;
    const std::uint64_t offset = lenient_number(arguments[3]) + shift;
    if (file < space.oldest_segment() || file > space.active_segment())
        return fail(session, "Invalid Request");
    if (offset > 0xFFFFFFFFU) return fail(session, "EOF");
    const auto entry =
        space.at({static_cast<std::uint32_t>(file), static_cast<std::uint32_t>(offset)});
    if (!entry) return fail(session, "EOF");
    if (entry->deleted) return fail(session, "Unexpected Internal Error");
    const std::size_t before = session.out.size();
    reply_array(session.out, 6);
    reply_bulk(session.out, entry->key);
    reply_integer(
        session.out, entry->before ? static_cast<long long>(entry->before.offset - shift) : 0);
    reply_bulk(session.out, fmt::format("{:#010x}", entry->crc));
    reply_integer(session.out, 0);
    reply_integer(session.out, entry->time);
    const auto into = begin_bulk(session.out, entry->length);
    if (space.read(*entry, into)) return finish_bulk(session.out, entry->length);
    session.out.truncate(before);
    fail(session, "Unexpected Internal Error");
}

void Commands::info(Session& session, Arguments)
{
    using std::chrono::duration_cast;
    using std::chrono::seconds;
    std::uint64_t read_failed = 0;
    std::uint64_t index_failed = 0;
    for (const Space* space : engine_.spaces()) {
        read_failed += space->counters().data_errors;
        index_failed += space->counters().index_errors;
    }
    const auto mb = [](std::uint64_t bytes) { return static_cast<double>(bytes) / 1048576.0; };
    std::string text = fmt::format(
        "# server\nserver_name: 0-db (zdb)\nserver_revision: znode-zdb\nengine_revision: znode-1\n"
        "instance_id: {}\nboot_time: {}\nuptime: {}\n\n# clients\nclients_lifetime: {}\n\n"
        "# internals\nsequential_key_size: 8\ndata_version: 3\nindex_version: 4\n\n# stats\n"
        "commands_executed: {}\ncommands_failed: {}\ncommands_unauthorized: {}\n",
        instance_,
        duration_cast<seconds>(started_.time_since_epoch()).count(),
        duration_cast<seconds>(std::chrono::system_clock::now() - started_).count(),
        stats.clients,
        stats.executed,
        stats.failed,
        stats.unauthorized);
    text += fmt::format(
        "index_disk_read_failed: {}\nindex_disk_write_failed: {}\ndata_disk_read_failed: {}\n"
        "data_disk_write_failed: {}\n",
        0,
        index_failed,
        read_failed,
        read_failed);
    for (const char* what :
         {"index_disk_read", "index_disk_write", "data_disk_read", "data_disk_write"})
        text += fmt::format("{0}_bytes: 0\n{0}_mb: 0.00\n", what);
    text += fmt::format(
        "network_rx_bytes: {}\nnetwork_rx_mb: {:.2f}\nnetwork_tx_bytes: {}\nnetwork_tx_mb: "
        "{:.2f}\n",
        stats.received,
        mb(stats.received),
        stats.sent,
        mb(stats.sent));
    reply_bulk(session.out, text);
}

void Commands::nsnew(Session& session, Arguments arguments)
{
    if (arguments.size() != 2) return fail(session, unexpected);
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
    if (arguments.size() != 2) return fail(session, unexpected);
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
    if (arguments.size() != 2) return fail(session, unexpected);
    if (arguments[1].empty()) return fail(session, "Invalid argument");
    if (arguments[1].size() > name_limit) return fail(session, "Namespace too long");
    const Space* space = engine_.find(arguments[1]);
    if (space == nullptr) return fail(session, not_found);
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
    if (arguments.size() != 4) return fail(session, unexpected);
    for (const auto argument : arguments.subspan(1))
        if (argument.empty()) return fail(session, "Invalid argument");
    if (arguments[1].size() > name_limit) return fail(session, "Namespace too long");
    if (arguments[2].size() > 256 || arguments[3].size() > 63)
        return fail(session, "Argument too long");
    Space* space = engine_.find(arguments[1]);
    if (space == nullptr) return fail(session, not_found);
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
    if (space == nullptr) return fail(session, not_found);
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
    if (arguments.size() != 2) return fail(session, unexpected);
    Space* space = engine_.find(arguments[1]);
    if (space == nullptr) return fail(session, not_found);
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
