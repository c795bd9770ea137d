#include "http/server.hpp"

#include <list>
#include <map>

#include <boost/asio/ip/address.hpp>

#include "async/event.hpp"
#include "async/task_group.hpp"
#include "connection.hpp"

namespace znode::http {
namespace {

class LoopServer : public Server {
public:
    LoopServer(
        asio::io_context& loop, Handler handler, ServerLimits limits, Log log, HeadCheck check)
        : context_{.handler = std::move(handler), .check = std::move(check), .limits = limits},
          log_{std::move(log)},
          acceptors_{loop},
          group_{loop},
          gone_{loop}
    {
    }

    void serve(std::unique_ptr<Listener> listener) override
    {
        listeners_.push_back(std::move(listener));
        acceptors_.spawn(accept_all(listeners_.back().get()));
    }

    Task<> stop(Duration grace) override
    {
        context_.stopping = true;
        for (const auto& listener : listeners_) listener->close();
        co_await acceptors_.drain();
        for (auto& state : states_)
            if (state.idle) state.stream->close();
        const auto until = Clock::now() + grace;
        while (!states_.empty() && Clock::now() < until)
            (void)co_await gone_.wait_for(until - Clock::now());
        if (!states_.empty()) log_->info("connections cut at stop count={}", states_.size());
        co_await group_.drain();
        listeners_.clear();
    }

    ServerCounters counters() const override
    {
        auto now = context_.counters;
        now.connections = states_.size();
        return now;
    }

private:
    Task<> accept_all(Listener* listener)
    {
        for (;;) {
            auto accepted = co_await listener->accept();
            if (!accepted) co_return;
            admit(*std::move(accepted));
        }
    }

    void admit(std::unique_ptr<Stream> stream)
    {
        const auto address = stream->remote_address();
        auto& of_address = per_address_[address];
        if (states_.size() >= context_.limits.connections ||
            (!address.empty() && of_address >= context_.limits.connections_per_address)) {
            ++context_.counters.refused_connections;
            if (of_address == 0) per_address_.erase(address);
            return;  // Closed by its destructor: answering would cost what there is none of.
        }
        ++of_address;
        states_.push_back({.stream = std::move(stream)});
        group_.spawn(attend(std::prev(states_.end()), address));
    }

    Task<> attend(std::list<ConnectionState>::iterator state, std::string address)
    {
        const Leave leave{*this, state, address};
        co_await serve_connection(&context_, &*state);
    }

    /// Takes the connection off the books however its coroutine ends.
    struct Leave {
        LoopServer& server;
        std::list<ConnectionState>::iterator state;
        const std::string& address;
        ~Leave()
        {
            const auto found = server.per_address_.find(address);
            if (--found->second == 0) server.per_address_.erase(found);
            server.states_.erase(state);
            server.gone_.notify();
        }
    };

    ConnectionContext context_;
    Log log_;
    std::vector<std::unique_ptr<Listener>> listeners_;
    std::list<ConnectionState> states_;
    std::map<std::string, std::size_t> per_address_;
    TaskGroup acceptors_;
    TaskGroup group_;
    Event gone_;
};

}  // namespace

std::string network_of(const std::string& address)
{
    namespace ip = asio::ip;
    boost::system::error_code no_address;
    const auto parsed = ip::make_address_v6(address, no_address);
    if (no_address) return address;
    if (parsed.is_v4_mapped()) return ip::make_address_v4(ip::v4_mapped, parsed).to_string();
    const auto bytes = parsed.to_bytes();
    return std::string{bytes.begin(), bytes.begin() + 8};
}

std::unique_ptr<Server> make_server(
    asio::io_context& loop, Handler handler, ServerLimits limits, Log log, HeadCheck check)
{
    return std::make_unique<LoopServer>(
        loop, std::move(handler), limits, std::move(log), std::move(check));
}

}  // namespace znode::http
