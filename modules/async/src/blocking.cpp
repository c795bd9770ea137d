#include "async/blocking.hpp"

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>

namespace znode {

bool is_cancellation(const std::exception_ptr& error) noexcept
{
    try {
        std::rethrow_exception(error);
    } catch (const boost::system::system_error& failed) {
        return failed.code() == asio::error::operation_aborted;
    } catch (...) {
        return false;
    }
}

tl::unexpected<Error> fail_net(std::string_view intent, const boost::system::error_code& ec)
{
    auto code = Errc::unavailable;
    if (ec == asio::error::operation_aborted) code = Errc::cancelled;
    if (ec == asio::error::timed_out) code = Errc::timeout;
    return fail(code, std::string{intent} + ": " + ec.message());
}

}  // namespace znode
