#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <boost/asio/buffer.hpp>

#include "async/task.hpp"
#include "kernel/fd.hpp"

namespace znode {

/// Where a byte stream leads to.
struct Endpoint {
    enum class Kind { tcp, unix_socket, tls };
    Kind kind = Kind::tcp;
    std::string host = {};     ///< Name or address (IPv6 without brackets); path of a unix socket.
    std::string port = {};     ///< Decimal; empty for a unix socket.
    std::string ca_file = {};  ///< PEM of the only authority to trust (TLS); empty: the system's.

    /// "host:port", "[v6]:port" or the path.
    std::string text() const;
    bool operator==(const Endpoint&) const = default;
};

/// A connected byte stream: TCP, unix socket, or TLS over TCP, behind one type.
///
/// Used from the loop that made it. One reader and one writer at a time. Closing (or destroying)
/// ends both with Errc::cancelled.
class Stream {
public:
    virtual ~Stream() = default;

    /// Reads at least one byte into `into`; 0 at the end of the stream.
    virtual Task<Result<std::size_t>> read_some(asio::mutable_buffer into) = 0;
    /// As read_some, but what it gives stays to be read. Errc::unsupported for TLS.
    virtual Task<Result<std::size_t>> peek_some(asio::mutable_buffer into) = 0;
    /// Writes everything.
    virtual Task<Result<>> write(asio::const_buffer bytes) = 0;
    /// Ends a read that is pending with an error; what is written still arrives.
    virtual void cut_read() noexcept = 0;
    /// Ends the stream without waiting for anybody.
    virtual void close() noexcept = 0;
    /// The local and the remote address, "" for unix sockets.
    virtual std::string local_address() const = 0;
    virtual std::string remote_address() const = 0;
    /// The socket, when nothing but it is needed to go on with the stream; -1 for TLS. Stays the
    /// stream's.
    virtual int descriptor() const noexcept = 0;
};

/// Resolves, connects and (for TLS) shakes hands and checks the certificate, all within `patience`.
Task<Result<std::unique_ptr<Stream>>> connect(Endpoint where, Duration patience);

/// Goes on with a connected TCP socket that somebody else has kept.
Result<std::unique_ptr<Stream>> adopt_tcp(const asio::any_io_executor& loop, kernel::Fd socket);

/// Certificate and key of a TLS server, PEM files.
struct TlsIdentity {
    std::string certificate_file;
    std::string key_file;
};

/// Accepts connections. Destroyed or closed: pending accepts end with Errc::cancelled.
class Listener {
public:
    virtual ~Listener() = default;
    /// The next connection. Errors of a single connection are not returned; running out of
    /// descriptors waits and tries again.
    virtual Task<Result<std::unique_ptr<Stream>>> accept() = 0;
    virtual void close() noexcept = 0;
    /// The bound port (useful after asking for port 0), 0 for unix sockets.
    virtual unsigned short port() const = 0;
};

/// Listens on an address ("127.0.0.1", "::") and port. With `tls`, streams are TLS once accepted.
Result<std::unique_ptr<Listener>> listen_tcp(
    asio::io_context& loop,
    const std::string& address,
    unsigned short port,
    const TlsIdentity* tls = nullptr);
/// Listens on a unix socket with this mode; a stale socket file is replaced, a live one is
/// Errc::exists.
Result<std::unique_ptr<Listener>> listen_unix(
    asio::io_context& loop, const std::string& path, unsigned mode);

/// Credentials of the process at the other end of a unix socket stream.
struct PeerCredentials {
    int pid = 0;
    unsigned uid = 0;
    unsigned gid = 0;
};
/// Errc::unsupported for anything but a unix socket.
Result<PeerCredentials> peer_credentials(const Stream& stream);

}  // namespace znode
