#include "async/stream.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>

#include "base/text.hpp"
#include "resolver.hpp"

namespace znode {
namespace {

using asio::ip::tcp;
using unix_protocol = asio::local::stream_protocol;

template <class Socket>
class PlainStream : public Stream {
public:
    explicit PlainStream(Socket socket) : socket_{std::move(socket)} {}

    Task<Result<std::size_t>> read_some(asio::mutable_buffer into) override
    {
        auto [ec, got] = co_await socket_.async_read_some(into, as_result);
        if (ec == asio::error::eof) co_return std::size_t{0};
        if (ec) co_return fail_net("receive", ec);
        co_return got;
    }
    Task<Result<std::size_t>> peek_some(asio::mutable_buffer into) override
    {
        auto [ec, got] =
            co_await socket_.async_receive(into, asio::socket_base::message_peek, as_result);
        if (ec == asio::error::eof) co_return std::size_t{0};
        if (ec) co_return fail_net("receive", ec);
        co_return got;
    }
    Task<Result<>> write(asio::const_buffer bytes) override
    {
        auto [ec, put] = co_await asio::async_write(socket_, bytes, as_result);
        if (ec) co_return fail_net("send", ec);
        co_return Result<>{};
    }
    void cut_read() noexcept override
    {
        boost::system::error_code ignored;
        socket_.cancel(ignored);
    }
    void close() noexcept override
    {
        boost::system::error_code ignored;
        socket_.close(ignored);
    }
    std::string local_address() const override { return address_of(false); }
    std::string remote_address() const override { return address_of(true); }
    int descriptor() const noexcept override
    {
        return const_cast<Socket&>(socket_).native_handle();  // NOLINT: Asio's has no const one.
    }

    const Socket& socket() const { return socket_; }
    Socket& socket() { return socket_; }

private:
    std::string address_of(bool remote) const
    {
        if constexpr (std::is_same_v<Socket, tcp::socket>) {
            boost::system::error_code ec;
            const auto end = remote ? socket_.remote_endpoint(ec) : socket_.local_endpoint(ec);
            return ec ? std::string{} : end.address().to_string();
        } else {
            return {};
        }
    }
    Socket socket_;
};

using TcpStream = PlainStream<tcp::socket>;
using UnixStream = PlainStream<unix_protocol::socket>;

class TlsStream : public Stream {
public:
    TlsStream(std::shared_ptr<asio::ssl::context> context, tcp::socket socket)
        : context_{std::move(context)}, stream_{std::move(socket), *context_}
    {
    }

    Task<Result<>> shake_hands(asio::ssl::stream_base::handshake_type side)
    {
        auto [ec] = co_await stream_.async_handshake(side, as_result);
        if (ec) {
            const long verdict = SSL_get_verify_result(stream_.native_handle());
            if (verdict != X509_V_OK)
                co_return fail(
                    Errc::denied,
                    std::string{"TLS: "} + X509_verify_cert_error_string(verdict) +
                        "; check the certificate, the host name and this machine's clock");
            co_return fail_net("TLS", ec);
        }
        co_return Result<>{};
    }
    Task<Result<std::size_t>> read_some(asio::mutable_buffer into) override
    {
        auto [ec, got] = co_await stream_.async_read_some(into, as_result);
        if (ec == asio::error::eof) co_return std::size_t{0};
        // A cut without close_notify could be an attacker's: an error, not an end.
        if (ec) co_return fail_net("receive", ec);
        co_return got;
    }
    Task<Result<>> write(asio::const_buffer bytes) override
    {
        auto [ec, put] = co_await asio::async_write(stream_, bytes, as_result);
        if (ec) co_return fail_net("send", ec);
        co_return Result<>{};
    }
    void cut_read() noexcept override
    {
        boost::system::error_code ignored;
        stream_.lowest_layer().cancel(ignored);
    }
    void close() noexcept override
    {
        boost::system::error_code ignored;
        stream_.lowest_layer().close(ignored);
    }
    std::string local_address() const override
    {
        boost::system::error_code ec;
        const auto end = stream_.lowest_layer().local_endpoint(ec);
        return ec ? std::string{} : end.address().to_string();
    }
    std::string remote_address() const override
    {
        boost::system::error_code ec;
        const auto end = stream_.lowest_layer().remote_endpoint(ec);
        return ec ? std::string{} : end.address().to_string();
    }
    Task<Result<std::size_t>> peek_some(asio::mutable_buffer /*into*/) override
    {
        co_return fail(Errc::unsupported, "TLS gives what comes once only");
    }
    int descriptor() const noexcept override { return -1; }
    SSL* native() { return stream_.native_handle(); }

private:
    std::shared_ptr<asio::ssl::context> context_;
    asio::ssl::stream<tcp::socket> stream_;
};

Task<Result<std::unique_ptr<Stream>>> connect_unix(Endpoint where)
{
    unix_protocol::socket socket{co_await asio::this_coro::executor};
    if (where.host.size() >= sizeof(sockaddr_un::sun_path))
        co_return fail(
            Errc::invalid, "connect to " + where.host + ": path is too long for a socket");
    auto [ec] = co_await socket.async_connect(unix_protocol::endpoint{where.host}, as_result);
    if (ec) co_return fail_net("connect to " + where.host, ec);
    co_return std::make_unique<UnixStream>(std::move(socket));
}

Task<Result<std::unique_ptr<Stream>>> connect_tcp(Endpoint where)
{
    const auto loop = co_await asio::this_coro::executor;
    const auto intent = "connect to " + where.text();
    tcp::socket socket{loop};

    boost::system::error_code no_literal;
    const auto literal = asio::ip::make_address(where.host, no_literal);
    if (!no_literal) {
        const auto port =
            static_cast<unsigned short>(std::strtoul(where.port.c_str(), nullptr, 10));
        auto [refused] = co_await socket.async_connect(tcp::endpoint{literal, port}, as_result);
        if (refused) co_return fail_net(intent, refused);
    } else {
        // Asio's own resolver has one thread for all names, and does not let go of it.
        const auto port = to_number<std::uint16_t>(where.port);
        if (!port) co_return fail(Errc::invalid, intent + ": the port is no number");
        auto found = co_await resolve(where.host);
        if (!found) co_return tl::unexpected(std::move(found).error().during(intent));
        std::vector<tcp::endpoint> ends;
        for (const auto& address : *found) ends.emplace_back(address, *port);
        auto [refused, peer] = co_await asio::async_connect(socket, ends, as_result);
        if (refused) co_return fail_net(intent, refused);
    }
    boost::system::error_code ignored;
    socket.set_option(tcp::no_delay{true}, ignored);
    if (where.kind == Endpoint::Kind::tcp) co_return std::make_unique<TcpStream>(std::move(socket));

    auto context = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_client);
    SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
    SSL_CTX_set_options(context->native_handle(), SSL_OP_NO_RENEGOTIATION);
    boost::system::error_code bad;
    if (where.ca_file.empty())
        context->set_default_verify_paths(bad);
    else
        context->load_verify_file(where.ca_file, bad);
    if (bad) co_return fail_net(intent + ": read the certificate authority " + where.ca_file, bad);
    auto tls = std::make_unique<TlsStream>(std::move(context), std::move(socket));
    SSL_set_verify(tls->native(), SSL_VERIFY_PEER, nullptr);
    // A literal address is checked against the certificate's addresses, a name against its names.
    if (!no_literal) {
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls->native()), where.host.c_str());
    } else {
        SSL_set_tlsext_host_name(tls->native(), where.host.c_str());
        SSL_set1_host(tls->native(), where.host.c_str());
    }
    if (auto shaken = co_await tls->shake_hands(asio::ssl::stream_base::client); !shaken)
        co_return tl::unexpected(std::move(shaken).error().during(intent));
    co_return tls;
}

class TcpListener : public Listener {
public:
    TcpListener(asio::io_context& loop, std::shared_ptr<asio::ssl::context> tls)
        : acceptor_{loop}, tls_{std::move(tls)}
    {
    }

    Task<Result<std::unique_ptr<Stream>>> accept() override
    {
        for (;;) {
            auto [ec, socket] = co_await acceptor_.async_accept(as_result);
            if (ec == asio::error::operation_aborted || ec == asio::error::bad_descriptor)
                co_return fail(Errc::cancelled, "listener closed");
            if (ec) {
                // Out of descriptors or memory: others must close first.
                co_await sleep_for(std::chrono::milliseconds{50});
                continue;
            }
            boost::system::error_code ignored;
            socket.set_option(tcp::no_delay{true}, ignored);
            if (!tls_) co_return std::make_unique<TcpStream>(std::move(socket));
            // The handshake happens at the first read, by whoever serves the connection, so that a
            // silent client holds up nobody else.
            co_return std::make_unique<LazyTls>(tls_, std::move(socket));
        }
    }
    void close() noexcept override
    {
        boost::system::error_code ignored;
        acceptor_.close(ignored);
    }
    unsigned short port() const override
    {
        boost::system::error_code ec;
        const auto end = acceptor_.local_endpoint(ec);
        return ec ? static_cast<unsigned short>(0) : end.port();
    }

    tcp::acceptor acceptor_;

private:
    class LazyTls : public TlsStream {
    public:
        using TlsStream::TlsStream;
        Task<Result<std::size_t>> read_some(asio::mutable_buffer into) override
        {
            if (!shaken_) {
                CO_TRY_DO(co_await with_deadline<void>(
                    std::chrono::seconds{10},
                    "TLS handshake",
                    shake_hands(asio::ssl::stream_base::server)));
                shaken_ = true;
            }
            co_return co_await TlsStream::read_some(into);
        }

    private:
        bool shaken_ = false;
    };
    std::shared_ptr<asio::ssl::context> tls_;
};

class UnixListener : public Listener {
public:
    UnixListener(asio::io_context& loop, std::string path) : acceptor_{loop}, path_{std::move(path)}
    {
    }
    ~UnixListener() override
    {
        if (acceptor_.is_open()) ::unlink(path_.c_str());
    }

    Task<Result<std::unique_ptr<Stream>>> accept() override
    {
        for (;;) {
            auto [ec, socket] = co_await acceptor_.async_accept(as_result);
            if (ec == asio::error::operation_aborted || ec == asio::error::bad_descriptor)
                co_return fail(Errc::cancelled, "listener closed");
            if (!ec) co_return std::make_unique<UnixStream>(std::move(socket));
            co_await sleep_for(std::chrono::milliseconds{50});
        }
    }
    void close() noexcept override
    {
        boost::system::error_code ignored;
        if (acceptor_.is_open()) ::unlink(path_.c_str());
        acceptor_.close(ignored);
    }
    unsigned short port() const override { return 0; }

    unix_protocol::acceptor acceptor_;

private:
    std::string path_;
};

}  // namespace

std::string Endpoint::text() const
{
    if (kind == Kind::unix_socket) return host;
    return (host.find(':') == std::string::npos ? host : "[" + host + "]") + ":" + port;
}

Task<Result<std::unique_ptr<Stream>>> connect(Endpoint where, Duration patience)
{
    auto intent = "connect to " + where.text();
    if (where.kind == Endpoint::Kind::unix_socket)
        co_return co_await with_deadline(
            patience, std::move(intent), connect_unix(std::move(where)));
    co_return co_await with_deadline(patience, std::move(intent), connect_tcp(std::move(where)));
}

Result<std::unique_ptr<Stream>> adopt_tcp(const asio::any_io_executor& loop, kernel::Fd socket)
{
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): the socket API's type.
    auto* const where = reinterpret_cast<sockaddr*>(&address);
    if (::getpeername(socket.get(), where, &size) != 0)
        return fail_errno(errno, "go on with a connection");
    const auto family = address.ss_family;
    if (family != AF_INET && family != AF_INET6)
        return fail(Errc::unsupported, "go on with a connection: it is not one of TCP");
    tcp::socket adopted{loop};
    boost::system::error_code ec;
    adopted.assign(family == AF_INET ? tcp::v4() : tcp::v6(), socket.get(), ec);
    if (ec) return fail_net("go on with a connection", ec);
    (void)socket.release();
    return std::make_unique<TcpStream>(std::move(adopted));
}

Result<std::unique_ptr<Listener>> listen_tcp(
    asio::io_context& loop, const std::string& address, unsigned short port, const TlsIdentity* tls)
{
    const auto intent =
        "listen on " + Endpoint{.host = address, .port = std::to_string(port)}.text();
    boost::system::error_code ec;
    const auto where = asio::ip::make_address(address, ec);
    if (ec) return fail(Errc::invalid, intent + ": '" + address + "' is no IP address");

    std::shared_ptr<asio::ssl::context> context;
    if (tls != nullptr) {
        context = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_server);
        context->use_certificate_chain_file(tls->certificate_file, ec);
        if (ec)
            return fail(
                Errc::invalid, "read certificate " + tls->certificate_file + ": " + ec.message());
        context->use_private_key_file(tls->key_file, asio::ssl::context::pem, ec);
        if (ec) return fail(Errc::invalid, "read key " + tls->key_file + ": " + ec.message());
    }
    auto listener = std::make_unique<TcpListener>(loop, std::move(context));
    const tcp::endpoint end{where, port};
    auto& acceptor = listener->acceptor_;
    acceptor.open(end.protocol(), ec);
    if (!ec) acceptor.set_option(tcp::acceptor::reuse_address{true}, ec);
    if (!ec) acceptor.bind(end, ec);
    if (!ec) acceptor.listen(asio::socket_base::max_listen_connections, ec);
    if (ec) return fail(Errc::unavailable, intent + ": " + ec.message());
    return listener;
}

Result<std::unique_ptr<Listener>> listen_unix(
    asio::io_context& loop, const std::string& path, unsigned mode)
{
    const auto intent = "listen on " + path;
    if (path.size() >= sizeof(sockaddr_un::sun_path))
        return fail(Errc::invalid, intent + ": the path is too long for a socket (107 bytes)");

    // A file left by a dead process refuses connections; a living owner answers.
    boost::system::error_code ec;
    {
        unix_protocol::socket probe{loop};
        probe.connect(unix_protocol::endpoint{path}, ec);
        if (!ec) return fail(Errc::exists, intent + ": another process listens there");
    }
    ::unlink(path.c_str());
    auto listener = std::make_unique<UnixListener>(loop, path);
    auto& acceptor = listener->acceptor_;
    acceptor.open(unix_protocol{}, ec);
    if (ec) return fail(Errc::unavailable, intent + ": " + ec.message());
    // Born closed to everybody, opened to whom it is meant for below.
    const mode_t before = ::umask(0177);
    acceptor.bind(unix_protocol::endpoint{path}, ec);
    ::umask(before);
    if (!ec && ::chmod(path.c_str(), mode) < 0) ec = {errno, boost::system::system_category()};
    if (!ec) acceptor.listen(asio::socket_base::max_listen_connections, ec);
    if (ec) return fail(Errc::unavailable, intent + ": " + ec.message());
    return listener;
}

Result<PeerCredentials> peer_credentials(const Stream& stream)
{
    const auto* local = dynamic_cast<const UnixStream*>(&stream);
    if (local == nullptr) return fail(Errc::unsupported, "only unix sockets tell who is there");
    ucred who{};
    socklen_t length = sizeof who;
    const int err =
        error_of(::getsockopt(local->descriptor(), SOL_SOCKET, SO_PEERCRED, &who, &length));
    if (err) return fail_errno(err, "ask who is at the other end");
    return PeerCredentials{who.pid, who.uid, who.gid};
}

}  // namespace znode
