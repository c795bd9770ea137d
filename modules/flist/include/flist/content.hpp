#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/log.hpp"
#include "base/result.hpp"
#include "flist/cache.hpp"
#include "flist/store.hpp"
#include "flist/tree.hpp"

namespace znode::flist {

using Chunk = std::shared_ptr<const std::string>;

struct ContentOptions {
    /// How long a store may be away before readers get an error.
    std::chrono::milliseconds patience{30'000};
    /// Plain chunks kept in memory, for reads that are smaller than a chunk.
    std::size_t memory = std::size_t{8} << 20U;
};

/// Where the time of reads went; a snapshot.
struct ContentFigures {
    std::uint64_t from_memory = 0;
    std::uint64_t from_cache = 0;
    std::uint64_t from_store = 0;
    std::uint64_t retries = 0;
};

/// The bytes of a tree's files: memory first, then the cache on disk, then the store. Every chunk
/// is proven by its hash, wherever it comes from. Any thread may call; threads that want the same
/// chunk at the same time share one fetch. What is passed in must outlive it; `cache` may be null.
class Content {
public:
    Content(const Tree& tree, BlockStore& store, BlockCache* cache, Log log, ContentOptions = {});
    ~Content();
    Content(const Content&) = delete;
    Content& operator=(const Content&) = delete;

    /// Chunk `number` of a file. Waits out a store that is away, for as long as the patience goes;
    /// Errc::corrupt: the flist or its packer is wrong, and stays wrong.
    Result<Chunk> chunk(const Node& file, std::uint64_t number);
    /// The whole file in order, given away chunk by chunk.
    Result<> read(const Node& file, const std::function<Result<>(std::string_view)>& take);
    /// Makes all that waits or comes fail soon.
    void stop();
    ContentFigures figures() const noexcept;

private:
    struct Flight;
    Result<Chunk> obtain(BlockRef ref, std::size_t size);
    Result<std::string> fetch(BlockRef ref, std::size_t size);
    bool pause(std::chrono::milliseconds length);
    void remember(std::string_view key, const Chunk& chunk);

    const Tree& tree_;
    BlockStore& store_;
    BlockCache* cache_;
    Log log_;
    ContentOptions options_;

    std::mutex mutex_;
    std::condition_variable stopping_;
    bool stopped_ = false;                                              // Guarded by mutex_.
    std::unordered_map<std::string, std::shared_ptr<Flight>> flights_;  // Guarded by mutex_.
    std::list<std::pair<std::string, Chunk>> recent_;                   // Guarded by mutex_.
    std::unordered_map<std::string_view, std::list<std::pair<std::string, Chunk>>::iterator>
        by_key_;                  // Guarded by mutex_; keys live in recent_.
    std::size_t remembered_ = 0;  // Guarded by mutex_.
    std::atomic<bool> away_{false};
    std::atomic<std::uint64_t> from_memory_{0};
    std::atomic<std::uint64_t> from_cache_{0};
    std::atomic<std::uint64_t> from_store_{0};
    std::atomic<std::uint64_t> retries_{0};
};

}  // namespace znode::flist
