#include "kernel/descriptor_store.hpp"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <cstring>

#include "kernel/descriptor_wire.hpp"

namespace znode::kernel {
namespace {

namespace wire = descriptor_wire;

constexpr timeval patience{.tv_sec = 2, .tv_usec = 0};

/// Room for one descriptor in a control message.
union Ancillary {
    cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
};

}  // namespace

DescriptorStore::DescriptorStore(const std::filesystem::path& run_dir)
    : socket_{run_dir / wire::socket_name}
{
}

Result<std::string> DescriptorStore::ask(const std::string& request, const Fd* give, Fd* take) const
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (socket_.native().size() >= sizeof address.sun_path || request.size() >= wire::message_size)
        return fail(Errc::invalid, "too long for the holder: " + request);
    std::memcpy(address.sun_path, socket_.c_str(), socket_.native().size() + 1);

    const Fd connection{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
    if (!connection) return fail_errno(errno, "make a socket");
    ::setsockopt(connection.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(connection.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): the socket API's type.
    const auto* where = reinterpret_cast<const sockaddr*>(&address);
    if (::connect(connection.get(), where, sizeof address) != 0)
        return fail(
            Errc::unavailable,
            "znode-holder keeps no descriptors: " + std::string{std::strerror(errno)});

    iovec text{const_cast<char*>(request.data()), request.size()};  // NOLINT: iovec has no const.
    Ancillary ancillary{};
    msghdr message{};
    message.msg_iov = &text;
    message.msg_iovlen = 1;
    if (give != nullptr) {
        message.msg_control = ancillary.bytes;
        message.msg_controllen = sizeof ancillary.bytes;
        auto* const header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        const int number = give->get();
        std::memcpy(CMSG_DATA(header), &number, sizeof number);
    }
    if (retry_eintr([&] { return ::sendmsg(connection.get(), &message, MSG_NOSIGNAL); }) < 0)
        return fail_errno(errno, "ask znode-holder");

    char answer[wire::message_size];
    text = {answer, sizeof answer};
    message.msg_control = ancillary.bytes;
    message.msg_controllen = sizeof ancillary.bytes;
    const auto size =
        retry_eintr([&] { return ::recvmsg(connection.get(), &message, MSG_CMSG_CLOEXEC); });
    if (size < 0) return fail_errno(errno, "wait for znode-holder");
    const auto* header = CMSG_FIRSTHDR(&message);
    if (header != nullptr && header->cmsg_type == SCM_RIGHTS) {
        int number = -1;
        std::memcpy(&number, CMSG_DATA(header), sizeof number);
        Fd received{number};
        if (take != nullptr) *take = std::move(received);
    }
    return std::string{answer, static_cast<std::size_t>(size)};
}

Result<> DescriptorStore::put(const std::string& name, const Fd& descriptor) const
{
    TRY(const auto answer, ask("put " + name, &descriptor, nullptr));
    if (answer == wire::done) return {};
    if (answer == wire::full)
        return fail(Errc::exhausted, "znode-holder keeps no more descriptors");
    return fail(Errc::unsupported, "znode-holder does not take " + name + ": " + answer);
}

Result<Fd> DescriptorStore::get(const std::string& name) const
{
    Fd taken;
    TRY(const auto answer, ask("get " + name, nullptr, &taken));
    if (answer == wire::done && taken) return taken;
    return fail(Errc::not_found, "znode-holder has no descriptor " + name);
}

Result<> DescriptorStore::drop(const std::string& name) const
{
    TRY_DO(ask("drop " + name, nullptr, nullptr));
    return {};
}

Result<> DescriptorStore::drop_all(const std::string& prefix) const
{
    TRY(const auto answer, ask("drop-prefix " + prefix, nullptr, nullptr));
    if (answer == wire::done || answer == wire::none) return {};
    return fail(Errc::unsupported, "znode-holder does not drop " + prefix + ": " + answer);
}

}  // namespace znode::kernel
