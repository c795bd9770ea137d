#include "notify.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "base/text.hpp"
#include "kernel/fd.hpp"

namespace znode::agent {

void notify_manager(std::string_view lines)
{
    const char* path = std::getenv("NOTIFY_SOCKET");
    if (path == nullptr || (path[0] != '/' && path[0] != '@')) return;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const auto length = std::strlen(path);
    if (length >= sizeof address.sun_path) return;
    std::memcpy(address.sun_path, path, length);
    if (path[0] == '@') address.sun_path[0] = '\0';
    const kernel::Fd socket{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    if (!socket) return;
    // Best effort: the manager's absence is nobody's failure.
    (void)::sendto(
        socket.get(),
        lines.data(),
        lines.size(),
        MSG_NOSIGNAL | MSG_DONTWAIT,
        reinterpret_cast<const sockaddr*>(&address),
        static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length));
}

unsigned long long watchdog_interval()
{
    const char* interval = std::getenv("WATCHDOG_USEC");
    const char* pid = std::getenv("WATCHDOG_PID");
    if (interval == nullptr) return 0;
    if (pid != nullptr && to_number<long>(pid).value_or(0) != ::getpid()) return 0;
    return to_number<unsigned long long>(interval).value_or(0);
}

}  // namespace znode::agent
