// Commands on the server itself, and the table of all.

#include <sys/time.h>

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <sodium.h>

#include "base/hex.hpp"
#include "base/text.hpp"
#include "session.hpp"
#include "words.hpp"

namespace znode::zdb {
namespace {

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
            other->mirror = false;  // One that does not read is none.
            cut_off.push_back(other);
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
    session.waiting_for = in_capitals(arguments[1]);
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
    const bool right = same_secret(hash, challenge_answer(session.nonce, secret.reveal()));
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
        return fail(session, unexpected_arguments);
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

}  // namespace znode::zdb
