#include "flist/content.hpp"

#include <algorithm>

#include "flist/block.hpp"

namespace znode::flist {

using std::chrono::milliseconds;

/// One fetch under way; whoever else wants the chunk waits for it.
struct Content::Flight {
    std::condition_variable landed;
    bool done = false;
    Result<Chunk> outcome = Chunk{};
};

Content::Content(
    const Tree& tree, BlockStore& store, BlockCache* cache, Log log, ContentOptions options)
    : tree_{tree}, store_{store}, cache_{cache}, log_{std::move(log)}, options_{options}
{
}

Content::~Content() { stop(); }

void Content::stop()
{
    const std::lock_guard lock{mutex_};
    stopped_ = true;
    stopping_.notify_all();
}

ContentFigures Content::figures() const noexcept
{
    return {from_memory_, from_cache_, from_store_, retries_};
}

Result<Chunk> Content::chunk(const Node& file, std::uint64_t number)
{
    if (!file.is_file() || number >= chunks_of(file.size))
        return fail(Errc::invalid, "there is no such chunk");
    if (number >= file.count)
        return fail(Errc::corrupt, "the packer of this flist lost the file's last block");

    const auto ref = tree_.block(file, static_cast<std::uint32_t>(number));
    const auto size = std::min(chunk_size, file.size - number * chunk_size);
    return obtain(ref, size);
}

Result<> Content::read(const Node& file, const std::function<Result<>(std::string_view)>& take)
{
    for (std::uint64_t number = 0; number < chunks_of(file.size); ++number) {
        TRY(const auto piece, chunk(file, number));
        TRY_DO(take(*piece));
    }
    return {};
}

Result<Chunk> Content::obtain(BlockRef ref, std::size_t size)
{
    std::shared_ptr<Flight> flight;
    {
        std::unique_lock lock{mutex_};
        if (const auto known = by_key_.find(ref.key); known != by_key_.end()) {
            const auto found = known->second;
            if (found->second->size() == size) {
                recent_.splice(recent_.begin(), recent_, found);
                ++from_memory_;
                return found->second;
            }
        }
        // The id is part of the name: a key under a wrong id must not make a right one fail.
        const std::string name = std::string{ref.id}.append(ref.key);
        const auto [other, first] = flights_.try_emplace(name, nullptr);
        if (!first) {
            const auto awaited = other->second;
            awaited->landed.wait(lock, [&] { return awaited->done; });
            if (awaited->outcome && (*awaited->outcome)->size() != size)
                return fail(Errc::corrupt, "the flist gives one block two lengths");
            return awaited->outcome;
        }
        flight = other->second = std::make_shared<Flight>();
    }

    auto plain = fetch(ref, size);

    const std::lock_guard lock{mutex_};
    if (plain) {
        flight->outcome = std::make_shared<const std::string>(*std::move(plain));
        remember(ref.key, *flight->outcome);
    } else {
        flight->outcome = tl::unexpected(std::move(plain).error());
    }
    flight->done = true;
    flight->landed.notify_all();
    flights_.erase(std::string{ref.id}.append(ref.key));
    return flight->outcome;
}

void Content::remember(std::string_view key, const Chunk& chunk)
{
    if (by_key_.contains(key)) return;
    recent_.emplace_front(key, chunk);
    by_key_.emplace(recent_.front().first, recent_.begin());
    remembered_ += chunk->size();
    while (remembered_ > options_.memory && recent_.size() > 1) {
        remembered_ -= recent_.back().second->size();
        by_key_.erase(recent_.back().first);
        recent_.pop_back();
    }
}

Result<std::string> Content::fetch(BlockRef ref, std::size_t size)
{
    if (cache_ != nullptr) {
        if (auto cached = cache_->get(ref.key, size)) {
            ++from_cache_;
            return *std::move(cached);
        }
    }

    const auto deadline = std::chrono::steady_clock::now() + options_.patience;
    milliseconds wait{50};
    for (int absent = 0;;) {
        auto stored = store_.get(ref.id);
        Result<std::string> plain =
            stored ? decode_block(ref, *stored, size) : tl::unexpected(std::move(stored).error());
        if (plain) {
            if (away_.exchange(false)) log_->info("block store is back store={}", store_.text());
            ++from_store_;
            if (cache_ != nullptr)
                if (const auto kept = cache_->put(ref.key, *plain); !kept)
                    log_->debug("block not cached error={}", kept.error().message);
            return plain;
        }

        const auto code = plain.error().code;
        // Blocks that are what their id says and still wrong will not become better.
        const bool hopeless =
            code == Errc::corrupt && stored && blake2b(*stored, ref.id.size()) == ref.id;
        if (code == Errc::not_found) ++absent;
        const bool over = std::chrono::steady_clock::now() + wait > deadline;
        if (hopeless || absent == 3 || code == Errc::denied || over || !pause(wait)) {
            log_->error("block not available error={}", plain.error().message);
            return plain;
        }
        if (!away_.exchange(true))
            log_->warn(
                "block store does not answer well, trying on error={}", plain.error().message);
        ++retries_;
        wait = std::min(wait * 2, milliseconds{2000});
    }
}

bool Content::pause(milliseconds length)
{
    std::unique_lock lock{mutex_};
    return !stopping_.wait_for(lock, length, [&] { return stopped_; });
}

}  // namespace znode::flist
