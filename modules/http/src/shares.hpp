#pragma once
// What bodies take of the memory that all connections have together. No I/O here.

#include <cstdint>
#include <map>
#include <string>
#include <utility>

namespace znode::http {

/// Bytes that are held together, up to a limit. One network may hold an eighth of it, or a single
/// body that is larger.
class Share {
public:
    explicit Share(std::uint64_t most) : most_{most} {}
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;

    /// "" is nobody's network (unix sockets) and counts in the whole alone.
    void add(const std::string& network, std::uint64_t bytes)
    {
        held_ += bytes;
        if (!network.empty()) networks_[network] += bytes;
    }
    void remove(const std::string& network, std::uint64_t bytes)
    {
        held_ -= bytes;
        const auto found = networks_.find(network);
        if (found == networks_.end()) return;
        found->second -= bytes;
        if (found->second == 0) networks_.erase(found);
    }
    /// Whether what is held is not too much; `own` bytes are of the body that asks.
    bool has_room(const std::string& network, std::uint64_t own) const
    {
        if (held_ > most_) return false;
        const auto found = networks_.find(network);
        return found == networks_.end() || found->second <= most_ / 8 || found->second == own;
    }
    std::uint64_t held() const noexcept { return held_; }

private:
    std::uint64_t most_;
    std::uint64_t held_ = 0;
    std::map<std::string, std::uint64_t> networks_;
};

/// One body's place in a share, while it is there.
class Holding {
public:
    explicit Holding(std::string network) : network_{std::move(network)} {}
    ~Holding() { release(); }
    Holding(const Holding&) = delete;
    Holding& operator=(const Holding&) = delete;

    /// Says how much there is now, and of which share (none: it always passes). False when it is
    /// too much; nothing is held then.
    bool hold(Share* share, std::uint64_t bytes)
    {
        release();
        if (share == nullptr) return true;
        share_ = share;
        bytes_ = bytes;
        share_->add(network_, bytes_);
        if (share_->has_room(network_, bytes_)) return true;
        release();
        return false;
    }
    void release()
    {
        if (share_ == nullptr) return;
        share_->remove(network_, bytes_);
        share_ = nullptr;
    }

private:
    std::string network_;
    Share* share_ = nullptr;
    std::uint64_t bytes_ = 0;
};

/// So large a body always passes: connections are counted.
inline constexpr std::uint64_t tiny_body = std::uint64_t{16} << 10U;
inline constexpr std::uint64_t small_body = std::uint64_t{256} << 10U;

/// Who sends the first large body beyond its share is asked to come again. Small ones have a share
/// of their own, which large ones can't use up.
struct Shares {
    Share large{std::uint64_t{256} << 20U};
    Share small{std::uint64_t{128} << 20U};
    Share replies{std::uint64_t{256} << 20U};

    Share* of_request(std::uint64_t body)
    {
        if (body <= tiny_body) return nullptr;
        return body <= small_body ? &small : &large;
    }
    Share* of_reply(std::uint64_t body) { return body <= small_body ? nullptr : &replies; }
};

}  // namespace znode::http
