#pragma once

#include <algorithm>
#include <chrono>
#include <map>
#include <string>

#include "http/server.hpp"

namespace znode::explorer_server {

/// Whose bucket an address is.
inline std::string bucket_of(const std::string& address) { return http::network_of(address); }

/// So many requests of one address: a bucket each, filled with time. Bounded: addresses whose
/// bucket is full again are forgotten.
class RateLimit {
public:
    using Time = std::chrono::steady_clock::time_point;

    RateLimit(double per_second, double burst) : per_second_{per_second}, burst_{burst} {}

    bool allow(const std::string& address, Time now)
    {
        if (buckets_.size() >= most_addresses && !buckets_.contains(address)) forget(now);
        auto [found, is_new] = buckets_.try_emplace(address, Bucket{burst_, now});
        auto& bucket = found->second;
        fill(bucket, now);
        if (bucket.tokens < 1) return false;
        bucket.tokens -= 1;
        return true;
    }
    std::size_t addresses() const noexcept { return buckets_.size(); }

    static constexpr std::size_t most_addresses = 10'000;

private:
    struct Bucket {
        double tokens;
        Time filled;
    };
    void fill(Bucket& bucket, Time now) const
    {
        const std::chrono::duration<double> passed = now - bucket.filled;
        bucket.tokens = std::min(burst_, bucket.tokens + passed.count() * per_second_);
        bucket.filled = now;
    }
    void forget(Time now)
    {
        for (auto entry = buckets_.begin(); entry != buckets_.end();) {
            fill(entry->second, now);
            entry = entry->second.tokens >= burst_ ? buckets_.erase(entry) : std::next(entry);
        }
        // Still too many busy ones: somebody floods us from many addresses, all start anew.
        if (buckets_.size() >= most_addresses) buckets_.clear();
    }

    double per_second_;
    double burst_;
    std::map<std::string, Bucket> buckets_;
};

}  // namespace znode::explorer_server
