#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/text.hpp"
#include "kernel/netlink.hpp"
#include "kernel/netns.hpp"
#include "netlink_attributes.hpp"

namespace znode::kernel {
namespace {

/// The sentence that the kernel adds to an error, or nothing.
std::string extended_text(const nlmsghdr* message)
{
    if ((message->nlmsg_flags & NLM_F_ACK_TLVS) == 0) return {};
    std::size_t offset = sizeof(nlmsgerr);
    const auto* error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message));
    if ((message->nlmsg_flags & NLM_F_CAPPED) == 0)
        offset += error->msg.nlmsg_len - sizeof(nlmsghdr);
    std::string text;
    for (const auto* attr : attributes_of(message, offset))
        if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG)
            text = printable({mnl_attr_get_str(attr), mnl_attr_get_payload_len(attr)});
    while (!text.empty() && text.ends_with("\\x00")) text.resize(text.size() - 4);
    return text;
}

}  // namespace

Result<NetlinkSocket> NetlinkSocket::open(int protocol)
{
    Fd fd{::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol)};
    int err = error_of(fd.get());
    if (err) return fail_errno(err, "open netlink socket");
    sockaddr_nl address{};
    address.nl_family = AF_NETLINK;
    err = error_of(::bind(
        fd.get(),
        reinterpret_cast<const sockaddr*>(&address),  // NOLINT: the socket API.
        sizeof address));
    if (err) return fail_errno(err, "bind netlink socket");

    // Absent on old kernels, where only the kernel's sentence is missing then.
    const int on = 1;
    (void)::setsockopt(fd.get(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
    (void)::setsockopt(fd.get(), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
    (void)::setsockopt(fd.get(), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
    const timeval patience{.tv_sec = 5, .tv_usec = 0};
    err = error_of(::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience));
    if (err) return fail_errno(err, "give netlink socket its deadline");
    return NetlinkSocket{std::move(fd)};
}

Result<NetlinkSocket> NetlinkSocket::open_in(int netns, int protocol)
{
    return in_netns(netns, [&] { return NetlinkSocket::open(protocol); });
}

Result<> NetlinkSocket::request(nlmsghdr* message, std::string_view intent)
{
    message->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
    return exchange(message, intent, nullptr);
}

Result<> NetlinkSocket::dump(
    nlmsghdr* message, std::string_view intent, const std::function<void(const nlmsghdr*)>& take)
{
    message->nlmsg_flags |= NLM_F_REQUEST;
    // A request for one object ends by an acknowledgement instead of NLMSG_DONE.
    if ((message->nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP) message->nlmsg_flags |= NLM_F_ACK;
    return exchange(message, intent, &take);
}

Result<> NetlinkSocket::exchange(
    nlmsghdr* message, std::string_view intent, const std::function<void(const nlmsghdr*)>* take)
{
    message->nlmsg_seq = ++sequence_;
    const auto sent =
        retry_eintr([&] { return ::send(fd_.get(), message, message->nlmsg_len, MSG_NOSIGNAL); });
    int err = error_of(sent);
    if (err) return fail_errno(err, intent);

    for (;;) {
        // MSG_TRUNC: how long it is really, so that nothing is cut silently.
        const auto got = retry_eintr(
            [&] { return ::recv(fd_.get(), buffer_.data(), buffer_.size(), MSG_TRUNC); });
        err = error_of(got);
        if (err == EAGAIN)
            return fail(Errc::timeout, std::string{intent} + ": no answer of the kernel in 5 s");
        if (err) return fail_errno(err, intent);
        if (static_cast<std::size_t>(got) > buffer_.size())
            return fail(Errc::internal, std::string{intent} + ": answer larger than our buffer");

        int left = static_cast<int>(got);
        const auto* answer =
            reinterpret_cast<const nlmsghdr*>(buffer_.data());  // NOLINT: the wire format.
        for (; mnl_nlmsg_ok(answer, left); answer = mnl_nlmsg_next(answer, &left)) {
            // Left over from a request that was given up.
            if (answer->nlmsg_seq != sequence_) continue;
            if (answer->nlmsg_type == NLMSG_DONE) return {};
            if (answer->nlmsg_type != NLMSG_ERROR) {
                if (take != nullptr) (*take)(answer);
                continue;
            }
            const auto* error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(answer));
            if (error->error == 0) return {};
            auto failure = fail_errno(-error->error, intent);
            if (const auto text = extended_text(answer); !text.empty())
                failure.value().message += " (" + text + ")";
            return failure;
        }
    }
}

}  // namespace znode::kernel
