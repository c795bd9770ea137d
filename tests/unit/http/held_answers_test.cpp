// Whoever does not read what it asked for holds its own network's share of the memory only.
#include <array>
#include <deque>

#include "fixture.hpp"

namespace znode::http {
namespace {

/// A stream that says it comes from elsewhere.
class StreamFrom : public Stream {
public:
    StreamFrom(std::unique_ptr<Stream> stream, std::string address)
        : stream_{std::move(stream)}, address_{std::move(address)}
    {
    }
    Task<Result<std::size_t>> read_some(asio::mutable_buffer into) override
    {
        return stream_->read_some(into);
    }
    Task<Result<std::size_t>> peek_some(asio::mutable_buffer into) override
    {
        return stream_->peek_some(into);
    }
    Task<Result<>> write(asio::const_buffer bytes) override { return stream_->write(bytes); }
    void cut_read() noexcept override { stream_->cut_read(); }
    void close() noexcept override { stream_->close(); }
    std::string local_address() const override { return stream_->local_address(); }
    std::string remote_address() const override { return address_; }
    int descriptor() const noexcept override { return stream_->descriptor(); }

private:
    std::unique_ptr<Stream> stream_;
    std::string address_;
};

/// Gives each connection the next of these addresses.
class AddressedListener : public Listener {
public:
    AddressedListener(std::unique_ptr<Listener> listener, std::deque<std::string>* addresses)
        : listener_{std::move(listener)}, addresses_{addresses}
    {
    }
    Task<Result<std::unique_ptr<Stream>>> accept() override
    {
        CO_TRY(auto stream, co_await listener_->accept());
        std::string address = "10.0.0.99";
        if (!addresses_->empty()) {
            address = addresses_->front();
            addresses_->pop_front();
        }
        co_return std::make_unique<StreamFrom>(std::move(stream), std::move(address));
    }
    void close() noexcept override { listener_->close(); }
    unsigned short port() const override { return listener_->port(); }

private:
    std::unique_ptr<Listener> listener_;
    std::deque<std::string>* addresses_;
};

class HeldAnswersTest : public HttpTest {
protected:
    std::unique_ptr<Listener> as_served(std::unique_ptr<Listener> listener) override
    {
        return std::make_unique<AddressedListener>(std::move(listener), &addresses);
    }

    /// A request from that address, and the first piece of its answer.
    struct Asked {
        std::unique_ptr<Stream> stream;
        std::string begin;
    };
    static Task<Asked> ask(HeldAnswersTest* test, std::string address, std::string target)
    {
        test->addresses.push_back(std::move(address));
        Asked asked;
        auto stream = co_await connect(test->where, 1s);
        if (!stream) co_return asked;
        asked.stream = *std::move(stream);
        const auto request = "GET " + target + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        (void)co_await asked.stream->write(asio::buffer(request));
        std::array<char, 4096> buffer;
        const auto got = co_await asked.stream->read_some(asio::buffer(buffer));
        if (got) asked.begin.assign(buffer.data(), *got);
        co_return asked;
    }
    static std::string status_of(const Asked& asked)
    {
        return asked.begin.size() < 12 ? asked.begin : asked.begin.substr(9, 3);
    }
    /// How much comes until the server closes.
    static Task<std::size_t> rest_of(Stream* stream)
    {
        std::size_t came = 0;
        std::vector<char> buffer(std::size_t{256} << 10U);
        for (;;) {
            const auto got = co_await stream->read_some(asio::buffer(buffer));
            if (!got || *got == 0) co_return came;
            came += *got;
        }
    }

    std::deque<std::string> addresses;
};

TEST_F(HeldAnswersTest, WhoDoesNotReadHoldsItsOwnNetworksShareOnly)
{
    start();
    const auto talk = [](HeldAnswersTest* test) -> Task<bool> {
        auto reader = co_await ask(test, "10.0.0.1", "/huge");
        EXPECT_EQ(status_of(reader), "200");

        const auto beside = co_await ask(test, "10.0.0.1", "/huge");
        EXPECT_EQ(status_of(beside), "503") << beside.begin;
        EXPECT_NE(beside.begin.find("\r\nRetry-After: 1\r\n"), std::string::npos) << beside.begin;
        EXPECT_EQ(status_of(co_await ask(test, "10.0.0.1", "/small")), "200");

        auto other = co_await ask(test, "10.0.0.2", "/huge");
        EXPECT_EQ(status_of(other), "200") << other.begin;
        const auto came = other.begin.size() + co_await rest_of(other.stream.get());
        EXPECT_GT(came, std::size_t{20} << 20U) << "whole, head and all";

        // What is read, or given up, is held no longer.
        reader.stream->close();
        std::string status;
        for (int i = 0; i < 200 && status != "200"; ++i) {
            if (i > 0) co_await sleep_for(5ms);
            status = status_of(co_await ask(test, "10.0.0.1", "/huge"));
        }
        EXPECT_EQ(status, "200");
        co_return true;
    };
    EXPECT_TRUE(drive(talk(this)));
}

TEST_F(HeldAnswersTest, ASlowReaderHoldsANetworksShareForMinutes)
{
    const ServerLimits usual;
    constexpr int pieces_of_a_share = (32 << 20U) / (64 << 10U);
    EXPECT_LE(usual.write_time + pieces_of_a_share * usual.write_more, 6min);
}

}  // namespace
}  // namespace znode::http
