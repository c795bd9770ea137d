#include "descriptors.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "kernel/descriptor_wire.hpp"

namespace znode::holder {
namespace {

namespace wire = kernel::descriptor_wire;

struct Kept {
    char name[wire::name_size];
    int fd;
};

// A mount per distinct flist and tenant: more than a node has containers.
Kept table[4096];
int used = 0;

Kept* find(const char* name)
{
    for (int i = 0; i < used; ++i)
        if (std::strcmp(table[i].name, name) == 0) return &table[i];
    return nullptr;
}

/// Takes the descriptor over.
const char* put(const char* name, int fd)
{
    if (fd < 0) return wire::unknown;
    Kept* place = find(name);
    if (place != nullptr) {
        ::close(place->fd);
    } else {
        if (used == static_cast<int>(sizeof table / sizeof table[0])) {
            ::close(fd);
            return wire::full;
        }
        place = &table[used++];
        std::snprintf(place->name, sizeof place->name, "%s", name);
    }
    place->fd = fd;
    return wire::done;
}

const char* drop(const char* name)
{
    Kept* const place = find(name);
    if (place == nullptr) return wire::none;
    ::close(place->fd);
    *place = table[--used];
    return wire::done;
}

const char* drop_prefix(const char* prefix)
{
    const char* said = wire::none;
    const auto size = std::strlen(prefix);
    for (int i = 0; i < used;) {
        if (std::strncmp(table[i].name, prefix, size) != 0) {
            ++i;
            continue;
        }
        ::close(table[i].fd);
        table[i] = table[--used];
        said = wire::done;
    }
    return said;
}

union Ancillary {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
};

void answer(int connection, const char* text, int fd)
{
    struct iovec part{const_cast<char*>(text), std::strlen(text)};
    Ancillary ancillary{};
    struct msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (fd >= 0) {
        message.msg_control = ancillary.bytes;
        message.msg_controllen = sizeof ancillary.bytes;
        struct cmsghdr* const header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
    }
    (void)::sendmsg(connection, &message, MSG_NOSIGNAL);  // Who does not listen asks again.
}

void serve(int connection)
{
    const struct timeval patience{1, 0};
    ::setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    struct ucred who{};
    socklen_t size = sizeof who;
    if (::getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &who, &size) < 0 || who.uid != 0) return;

    char text[wire::message_size + 1];
    struct iovec part{text, wire::message_size};
    Ancillary ancillary{};
    struct msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = ancillary.bytes;
    message.msg_controllen = sizeof ancillary.bytes;
    const ssize_t got = ::recvmsg(connection, &message, MSG_CMSG_CLOEXEC);
    if (got < 0) return;
    text[got] = 0;
    int fd = -1;
    const struct cmsghdr* const header = CMSG_FIRSTHDR(&message);
    if (header != nullptr && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
        std::memcpy(&fd, CMSG_DATA(header), sizeof fd);

    const char* const blank = std::strchr(text, ' ');
    const char* const name = blank == nullptr ? "" : blank + 1;
    const bool named = name[0] != 0 && std::strlen(name) < wire::name_size;
    const char* said = wire::unknown;
    int give = -1;
    if (named && std::strncmp(text, "put ", 4) == 0) {
        said = put(name, fd);
        fd = -1;
    } else if (named && std::strncmp(text, "get ", 4) == 0) {
        const Kept* const place = find(name);
        said = place == nullptr ? wire::none : wire::done;
        if (place != nullptr) give = place->fd;
    } else if (named && std::strncmp(text, "drop ", 5) == 0) {
        said = drop(name);
    } else if (named && std::strncmp(text, "drop-prefix ", 12) == 0) {
        said = drop_prefix(name);
    }
    if (fd >= 0) ::close(fd);
    answer(connection, said, give);
}

}  // namespace

int open_descriptor_socket(const char* run_dir)
{
    struct sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const int size = std::snprintf(
        address.sun_path, sizeof address.sun_path, "%s/%s", run_dir, wire::socket_name);
    if (size < 0 || static_cast<std::size_t>(size) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    const int listener = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (listener < 0) return -1;
    ::unlink(address.sun_path);  // Of a holder that is dead; a living one was found before.
    const mode_t before = ::umask(0177);
    const int bound =
        ::bind(listener, reinterpret_cast<struct sockaddr*>(&address), sizeof address);
    ::umask(before);
    if (bound < 0 || ::listen(listener, 16) < 0) {
        const int err = errno;
        ::close(listener);
        errno = err;
        return -1;
    }
    return listener;
}

void keep_descriptors(int listener)
{
    if (listener < 0)
        for (;;) ::pause();
    for (;;) {
        const int connection = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        if (connection >= 0) {
            serve(connection);
            ::close(connection);
        } else if (errno != EINTR && errno != ECONNABORTED) {
            ::sleep(1);  // Out of descriptors or memory: these pass.
        }
    }
}

}  // namespace znode::holder
