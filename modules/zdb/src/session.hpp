#pragma once
// What a connection is to the commands, and the commands themselves.

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "kernel/fd.hpp"
#include "resp.hpp"
#include "zdb/engine.hpp"
#include "zdb/server.hpp"

namespace znode::zdb {

/// What is read at once, and what the buffers of a session may hold from its beginning.
inline constexpr std::size_t read_step = std::size_t{64} << 10U;

struct Session {
    kernel::Fd fd;
    bool unix_socket = false;
    bool admin = false;
    bool writable = true;
    Space* space = nullptr;  ///< Null when its namespace was removed.
    std::string nonce;

    Buffer in;
    std::size_t taken = 0;  ///< Bytes of `in` that were executed since the last commit.
    Buffer out;
    std::size_t out_mark = 0;  ///< Size of `out` at the last commit.
    bool touched = false;      ///< Executed something since then.
    bool ready = false;        ///< In the list of those that have work without new bytes.
    bool closing = false;      ///< Closed once `out` is sent.
    bool dead = false;
    bool listed = false;     ///< Among the touched of the server.
    unsigned interest = 0;   ///< What epoll watches.
    std::size_t wanted = 1;  ///< Bytes missing of the request that came in part.
    std::size_t held = 0;    ///< Memory of both buffers, as counted by the server.
    std::chrono::steady_clock::time_point holds_since;  ///< Without having ended a request.
    /// When its last byte came.
    std::chrono::steady_clock::time_point heard = std::chrono::steady_clock::now();
    /// When the client last took a byte of its replies, or had none to take.
    std::chrono::steady_clock::time_point took = std::chrono::steady_clock::now();

    std::string waiting_for;  ///< A command's name or "*", empty when not waiting.
    std::chrono::steady_clock::time_point waiting_until;
    bool mirror = false;
    bool master = false;
    std::vector<std::string> mget;  ///< Keys still to answer, in reverse.
};

using Arguments = std::span<const std::string_view>;

class Commands;

/// A command: its name, what it does, and whether it only touches the session's own namespace,
/// so that it may share a commit with others.
struct Command {
    std::string_view name;
    void (Commands::*run)(Session&, Arguments) = nullptr;
    bool grouped = false;
};

/// Executes requests against the engine. Replies go to the session's buffer.
class Commands {
public:
    Commands(Engine& engine, const ServerConfig& config, std::vector<Session*>& sessions);

    /// The command of that name: case does not count, a prefix does, the first in the table wins.
    static const Command* find(std::string_view name) noexcept;
    static bool exists(std::string_view name) noexcept;

    void execute(Session& session, const Command& command, Arguments arguments);
    /// The reply to a write that could not be committed.
    static std::string_view refusal(const Command& command) noexcept;
    /// Answers one more key of an MGET that waits for room.
    void continue_mget(Session& session);

    struct Stats {
        std::uint64_t clients = 0;
        std::uint64_t executed = 0;
        std::uint64_t failed = 0;
        std::uint64_t unauthorized = 0;
        std::uint64_t received = 0;
        std::uint64_t sent = 0;
    };
    Stats stats;
    /// Sessions that wait or mirror: the only ones that hear of other sessions' commands.
    std::vector<Session*> watchers;
    /// Sessions that the server has to end.
    std::vector<Session*> cut_off;
    /// Sessions that got a reply out of turn.
    std::vector<Session*> woken;

    // commands_data.cpp
    void set(Session& session, Arguments arguments);
    void get(Session& session, Arguments arguments);
    void mget(Session& session, Arguments arguments);
    void del(Session& session, Arguments arguments);
    void exists(Session& session, Arguments arguments);
    void check(Session& session, Arguments arguments);
    void length(Session& session, Arguments arguments);
    void keytime(Session& session, Arguments arguments);
    void scan(Session& session, Arguments arguments);
    void rscan(Session& session, Arguments arguments);
    void kscan(Session& session, Arguments arguments);
    void history(Session& session, Arguments arguments);
    void keycur(Session& session, Arguments arguments);
    void dbsize(Session& session, Arguments arguments);
    // commands_admin.cpp
    void star(Session& session, Arguments arguments);
    void wait(Session& session, Arguments arguments);
    void mirror(Session& session, Arguments arguments);
    void master(Session& session, Arguments arguments);
    void ping(Session& session, Arguments arguments);
    void time(Session& session, Arguments arguments);
    void auth(Session& session, Arguments arguments);
    void hooks(Session& session, Arguments arguments);
    void index(Session& session, Arguments arguments);
    void data(Session& session, Arguments arguments);
    void info(Session& session, Arguments arguments);
    void stop(Session& session, Arguments arguments);
    // commands_namespace.cpp
    void nsnew(Session& session, Arguments arguments);
    void nsdel(Session& session, Arguments arguments);
    void nslist(Session& session, Arguments arguments);
    void nsset(Session& session, Arguments arguments);
    void nsinfo(Session& session, Arguments arguments);
    void nsjump(Session& session, Arguments arguments);
    void select(Session& session, Arguments arguments);
    void reload(Session& session, Arguments arguments);
    void flush(Session& session, Arguments arguments);

private:
    void fail(Session& session, std::string_view text);
    bool admin(Session& session);
    bool readable(Session& session);
    bool may_write(Session& session);
    bool key_given(Session& session, Arguments arguments);
    void reply_value(Session& session, const Entry& entry);
    void walk(Session& session, Arguments arguments, bool forward);
    void walk_ids(Session& session, Arguments arguments, bool forward);
    void notify(const Session& by, const Command& command, Arguments arguments);
    void move_sessions(const Space* from, Space* to);
    bool secret_matches(
        Session& session, const Secret& secret, std::string_view hash, bool once_only);
    bool set_property(
        Session& session, Space& space, std::string_view property, std::string_view value);
    void set_mode(Session& session, Space& space, std::string_view value);
    void set_next_id(Session& session, Space& space, std::string_view value);

    Engine& engine_;
    const ServerConfig& config_;
    std::vector<Session*>& sessions_;
    std::string key_;  ///< Scratch.
    std::chrono::system_clock::time_point started_ = std::chrono::system_clock::now();
    std::uint32_t instance_;
};

}  // namespace znode::zdb
