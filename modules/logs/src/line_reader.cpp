#include <sys/stat.h>

#include <algorithm>
#include <deque>
#include <tuple>

#include "kernel/fd.hpp"
#include "kernel/files.hpp"
#include "logs/folder_watch.hpp"
#include "logs/line_splitter.hpp"
#include "logs/reader.hpp"

namespace znode::logs {
namespace {

constexpr std::size_t lines_per_answer = 500;
constexpr std::size_t read_at_once = 256 * 1024;
/// What a tail may ask for: it is held in memory.
constexpr std::uint64_t longest_tail = 100'000;

class SegmentLineReader final : public LineReader {
public:
    SegmentLineReader(
        std::filesystem::path folder, Query query, FolderWatch& watch, Blocking& disks)
        : folder_{std::move(folder)},
          query_{query},
          watch_{watch},
          disks_{disks},
          reader_{folder_, Cursor{}}
    {
    }
    ~SegmentLineReader() override
    {
        if (changed_) watch_.remove(changed_.get());
    }

    Task<Result<std::optional<std::vector<Line>>>> next() override
    {
        if (!started_) CO_TRY_DO(co_await start());
        for (;;) {
            if (!ready_.empty()) co_return take();
            bool at_end = !query_.follow && is_past_end();
            if (!at_end) {
                auto chunk = co_await disks_.run([&] { return reader_.next(read_at_once); });
                if (!chunk) co_return tl::unexpected(std::move(chunk).error());
                if (!chunk->records.empty()) {
                    split(*chunk);
                    continue;
                }
                at_end = !query_.follow;
            }
            if (at_end) {
                // What has no end yet is shown as it is.
                flush();
                if (ready_.empty()) co_return std::optional<std::vector<Line>>{};
                continue;
            }
            co_await wait();
        }
    }

private:
    Task<Result<>> start()
    {
        started_ = true;
        if (query_.follow) {
            changed_ = std::make_unique<Event>(
                static_cast<asio::io_context&>((co_await asio::this_coro::executor).context()));
            // Before the first look, so that nothing falls between.
            watched_ = static_cast<bool>(watch_.add(folder_, changed_.get()));
        }
        auto numbers = co_await disks_.run([&] { return list_segments(folder_); });
        if (!numbers) co_return tl::unexpected(std::move(numbers).error());
        if (!numbers->empty())
            end_ = co_await disks_.run([&] { return end_of_segment(numbers->back()); });
        if (query_.tail) co_return co_await load_tail(*std::move(numbers));
        if (!numbers->empty()) {
            const auto first = co_await disks_.run([&] { return first_segment_since(*numbers); });
            reader_ = RecordReader{folder_, Cursor{.segment = first}};
        }
        co_return Result<>{};
    }

    /// A program that writes faster than this is read is not chased for ever: whoever does not
    /// follow gets what was there when he asked.
    bool is_past_end() const
    {
        const auto& at = reader_.position();
        return std::tie(at.segment, at.offset) >= std::tie(end_.segment, end_.offset);
    }
    Cursor end_of_segment(std::uint64_t number) const
    {
        char name[32];
        segment_name(number, name);
        struct stat info{};
        const bool known = ::stat((folder_ / name).c_str(), &info) == 0;
        return {.segment = number, .offset = known ? static_cast<std::uint64_t>(info.st_size) : 0};
    }

    /// The last segment that was begun before the moment asked for.
    std::uint64_t first_segment_since(const std::vector<std::uint64_t>& numbers) const
    {
        auto first = numbers.front();
        if (!query_.since_ns) return first;
        for (const auto number : numbers) {
            char name[32];
            segment_name(number, name);
            SegmentHeader header{};
            const auto fd = kernel::open_file((folder_ / name).string(), O_RDONLY);
            if (!fd) continue;
            const auto got =
                kernel::pread_full(fd->get(), {reinterpret_cast<char*>(&header), sizeof header}, 0);
            if (!got || *got < sizeof header || header.created_ns > *query_.since_ns) break;
            first = number;
        }
        return first;
    }

    /// Reads segments from the newest backwards until there are enough lines.
    Task<Result<>> load_tail(std::vector<std::uint64_t> numbers)
    {
        const auto wanted = static_cast<std::size_t>(std::min(*query_.tail, longest_tail));
        for (std::size_t back = 1; back <= numbers.size(); ++back) {
            ready_.clear();
            out_ = LineSplitter{Stream::out};
            err_ = LineSplitter{Stream::err};
            reader_ = RecordReader{folder_, Cursor{.segment = numbers[numbers.size() - back]}};
            while (!is_past_end()) {
                auto chunk = co_await disks_.run([&] { return reader_.next(read_at_once); });
                if (!chunk) co_return tl::unexpected(std::move(chunk).error());
                if (chunk->records.empty()) break;
                split(*chunk);
                while (ready_.size() > wanted) ready_.pop_front();
            }
            if (ready_.size() == wanted) break;
        }
        co_return Result<>{};
    }

    void split(const Chunk& chunk)
    {
        for (const auto& record : chunk.records) {
            // Marks belong to both; a stream's own record makes lines of that stream only.
            if (record.kind != Kind::err) feed(Stream::out, out_, record);
            if (record.kind != Kind::out) feed(Stream::err, err_, record);
        }
    }
    void feed(Stream stream, LineSplitter& splitter, const RecordView& record)
    {
        if (query_.stream && *query_.stream != stream) return;
        splitter.feed(record, 0, [&](std::string_view text, std::int64_t time, const Cursor&) {
            if (query_.since_ns && time < *query_.since_ns) return;
            if (text.ends_with('\n')) text.remove_suffix(1);
            ready_.push_back({stream, time, std::string{text}});
        });
    }
    void flush()
    {
        const RecordView end{.kind = Kind::exited};
        feed(Stream::out, out_, end);
        feed(Stream::err, err_, end);
    }

    std::optional<std::vector<Line>> take()
    {
        const auto count = std::min(ready_.size(), lines_per_answer);
        const auto end = ready_.begin() + static_cast<std::ptrdiff_t>(count);
        std::vector<Line> lines{
            std::make_move_iterator(ready_.begin()), std::make_move_iterator(end)};
        ready_.erase(ready_.begin(), end);
        return lines;
    }

    Task<> wait()
    {
        if (watched_) {
            co_await changed_->wait();
        } else {
            // The folder comes with the first start of the container.
            co_await sleep_for(std::chrono::milliseconds{500});
            watched_ = static_cast<bool>(watch_.add(folder_, changed_.get()));
        }
        co_await asio::this_coro::throw_if_cancelled(true);
    }

    std::filesystem::path folder_;
    Query query_;
    FolderWatch& watch_;
    Blocking& disks_;
    RecordReader reader_;
    Cursor end_;  // Of the log when reading began.
    LineSplitter out_{Stream::out};
    LineSplitter err_{Stream::err};
    std::deque<Line> ready_;
    std::unique_ptr<Event> changed_;
    bool watched_ = false;
    bool started_ = false;
};

}  // namespace

std::unique_ptr<LineReader> make_line_reader(
    std::filesystem::path folder, Query query, FolderWatch& watch, Blocking& disks)
{
    return std::make_unique<SegmentLineReader>(std::move(folder), query, watch, disks);
}

}  // namespace znode::logs
