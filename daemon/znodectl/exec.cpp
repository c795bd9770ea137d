#include "exec.hpp"

#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>

#include "base/text.hpp"
#include "kernel/holder.hpp"

namespace znode::ctl {
namespace {

/// An id goes into paths and to the runtime: it is digits, a dash, digits.
bool is_gwid(std::string_view text)
{
    const auto dash = text.find('-');
    if (dash == std::string_view::npos) return false;
    const auto all_digits = [](std::string_view part) {
        return !part.empty() && part.size() < 20 &&
               part.find_first_not_of("0123456789") == std::string_view::npos;
    };
    return all_digits(text.substr(0, dash)) && all_digits(text.substr(dash + 1));
}

}  // namespace

int exec_in_container(
    const std::string& socket, const std::string& gwid, const std::vector<std::string>& command)
{
    if (!is_gwid(gwid)) return report({usage, "'" + printable(gwid) + "' is no id such as 15-1"});
    if (::geteuid() != 0) return report({failed, "exec is for root only"});

    // Beside the socket lies what says where the workloads' mounts are.
    const auto run_dir = std::filesystem::path{socket}.parent_path();
    const auto holder = kernel::find_holder(run_dir);
    if (!holder)
        return report(
            {not_reachable,
             "no node has its workloads at " + run_dir.string() + ": " + holder.error().message});
    if (const auto entered = kernel::enter_holder(*holder); !entered)
        return report({failed, entered.error().message});

    std::error_code unknown;
    if (!std::filesystem::exists(run_dir / "crun" / gwid, unknown))
        return report({failed, "no container " + gwid + " runs on this node"});

    std::vector<std::string> words{
        "crun",
        "--root=" + (run_dir / "crun").string(),
        "--cgroup-manager=cgroupfs",
        "exec",
        "--no-new-privs"};
    if (::isatty(STDIN_FILENO) != 0 && ::isatty(STDOUT_FILENO) != 0) words.emplace_back("--tty");
    words.push_back(gwid);
    words.insert(words.end(), command.begin(), command.end());

    std::vector<char*> argv;
    for (auto& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    std::signal(SIGPIPE, SIG_DFL);
    ::execvp(argv.front(), argv.data());
    return report({failed, "crun cannot be started: " + std::string{std::strerror(errno)}});
}

}  // namespace znode::ctl
