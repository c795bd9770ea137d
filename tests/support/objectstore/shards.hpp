#pragma once
// A customer's 0-db namespaces, each holding one piece of every object.

#include <chrono>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace objectstore {

/// One namespace of SHARDS: "namespace:password@host:port", IPv6 in brackets.
struct Address {
    std::string name;
    std::string password;
    std::string host;
    std::string port;
};
/// Empty for a text that is none.
std::optional<Address> parse_address(const std::string& text);

/// A connection that is made when it is needed and made anew after a failure. Every call ends
/// within two seconds; one that failed is not tried again for five. Used by one thread at a time.
class Shard {
public:
    explicit Shard(Address address) : address_{std::move(address)} {}
    ~Shard();
    Shard(const Shard&) = delete;
    Shard& operator=(const Shard&) = delete;

    /// Stores a piece; the key that the namespace gave it, or nothing.
    std::optional<std::string> put(const std::string& piece);
    std::optional<std::string> get(const std::string& key);
    const std::string& name() const { return address_.name; }

private:
    std::optional<std::string> ask(const std::vector<std::string>& words);
    bool connect();
    bool send(const std::vector<std::string>& words);
    std::optional<std::string> receive();
    bool fill();
    void close();

    Address address_;
    std::mutex turn_;
    int socket_ = -1;
    std::string unread_;
    std::chrono::steady_clock::time_point not_before_{};
};

}  // namespace objectstore
