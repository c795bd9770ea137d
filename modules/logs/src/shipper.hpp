#pragma once

#include "async/event.hpp"
#include "async/task_group.hpp"
#include "logs/folder_watch.hpp"
#include "logs/line_splitter.hpp"
#include "logs/shipper.hpp"
#include "redis/connection.hpp"

namespace znode::logs {

/// Of the names by which znode-holder keeps connections; then the key of the cursor.
inline const std::string kept_prefix = "log.";

/// PUBLISH commands that go out together, and where the cursor stands after each.
struct Batch {
    std::string commands;
    std::vector<Cursor> after;
    std::vector<std::size_t> sizes;  ///< Bytes of each line.
    std::vector<std::size_t> ends;   ///< Where each command ends in `commands`.
    Cursor end;                      ///< Where the cursor stands once all are answered.
    std::uint64_t begin = 0;         ///< Of the first command, in what the connection is given.

    bool empty() const noexcept { return after.empty(); }
};

/// Sends one stream of one container to one channel.
class Shipper {
public:
    struct Place {
        std::string gwid;
        Stream stream = Stream::out;
        std::string key;  ///< Of the cursor.
        std::filesystem::path folder;
    };
    Shipper(
        asio::io_context& loop,
        Place place,
        redis::Target target,
        Blocking& disks,
        FolderWatch& watch,
        Cursors& cursors,
        const kernel::DescriptorStore* kept,
        Log log,
        ShipperConfig config);

    void start();
    /// Waits until nothing is pending, or for so long.
    Task<> drain_lines(Duration patience);
    /// What a next shipper of this key will find.
    enum class End {
        pause,      ///< Cursor and connection: it goes on in the middle.
        hand_over,  ///< The cursor: its target is another one.
        forget,     ///< Nothing.
    };
    /// Ends sending.
    Task<> stop(End end);

    Task<ShipperStatus> status();
    const redis::Target& target() const noexcept { return target_; }

private:
    Task<> run();
    Task<Result<>> load_cursor();
    Task<Result<>> ship();
    Task<Result<std::unique_ptr<redis::Connection>>> connect();
    Task<std::unique_ptr<redis::Connection>> take_over();
    Task<> keep(const redis::Connection* connection);
    Task<> drop_connection();
    Task<Result<>> send_rest(redis::Connection* connection, const Batch* batch);
    Task<Result<>> await_answers(redis::Connection* connection, const Batch* batch);
    Task<Result<>> find_receiver(redis::Connection* connection, const Batch* batch);
    void reach(const Batch& batch, std::size_t lines);
    void note();
    void count_as_sent(const Batch& batch, std::size_t lines);
    Task<Result<Batch>> next_batch();
    Task<> store_cursor(bool now);
    void rewind();
    void tell(const Error& error);
    std::string where() const;
    std::string kept_name() const;

    Place place_;
    redis::Target target_;
    Blocking& disks_;
    FolderWatch& watch_;
    Cursors& cursors_;
    const kernel::DescriptorStore* kept_;  // May be null.
    Log log_;
    ShipperConfig config_;

    TaskGroup group_;
    Event changed_;  // The folder did.
    Event idle_;     // Everything that was there has been sent.
    Cursor cursor_;  // Everything before it has been answered.
    Wire wire_;      // Where the connection stood then.
    Cursor stored_;
    Clock::time_point stored_at_{};
    RecordReader reader_;
    LineSplitter splitter_;
    int slow_answers_ = 0;  // In a row.
    bool watched_ = false;
    bool is_kept_ = false;  // A second descriptor of the connection, for the next run.
    bool is_idle_ = false;
    bool had_receiver_ = false;   // Somebody listened to the last line that was answered.
    bool seek_receiver_ = false;  // He may not be back yet.
    ShipperStatus status_;
};

}  // namespace znode::logs
