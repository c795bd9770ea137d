#include "base/result.hpp"

#include <cstring>

namespace znode {

std::string_view to_string(Errc code) noexcept
{
    switch (code) {
        case Errc::invalid:
            return "invalid";
        case Errc::not_found:
            return "not_found";
        case Errc::exists:
            return "exists";
        case Errc::denied:
            return "denied";
        case Errc::exhausted:
            return "exhausted";
        case Errc::unavailable:
            return "unavailable";
        case Errc::timeout:
            return "timeout";
        case Errc::unsupported:
            return "unsupported";
        case Errc::corrupt:
            return "corrupt";
        case Errc::cancelled:
            return "cancelled";
        case Errc::internal:
            return "internal";
    }
    return "internal";
}

Errc errc_of_errno(int err) noexcept
{
    switch (err) {
        case EINVAL:
        case ENAMETOOLONG:
        case ENOTDIR:
        case EISDIR:
        case ELOOP:
            return Errc::invalid;
        case ENOENT:
        case ENODEV:
        case ENXIO:
        case ESRCH:
            return Errc::not_found;
        case EEXIST:
        case ENOTEMPTY:
            return Errc::exists;
        case EPERM:
        case EACCES:
            return Errc::denied;
        case ENOSPC:
        case EDQUOT:
        case ENOMEM:
        case EMFILE:
        case ENFILE:
            return Errc::exhausted;
        case ETIMEDOUT:
            return Errc::timeout;
        case ENOSYS:
        case EOPNOTSUPP:
        case EAFNOSUPPORT:
            return Errc::unsupported;
        case ECANCELED:
            return Errc::cancelled;
        default:
            return Errc::unavailable;
    }
}

tl::unexpected<Error> fail_errno(int err, std::string_view intent)
{
    return fail(errc_of_errno(err), std::string{intent} + ": " + ::strerror(err));
}

}  // namespace znode
