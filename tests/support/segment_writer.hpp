#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>

#include "logs/segment_format.hpp"

namespace znode::test {

/// Writes log segments as the monitor of a container does: one record per call.
class SegmentWriter {
public:
    explicit SegmentWriter(std::filesystem::path folder) : folder_{std::move(folder)}
    {
        std::filesystem::create_directories(folder_);
        rotate();
    }
    ~SegmentWriter() { ::close(fd_); }
    SegmentWriter(const SegmentWriter&) = delete;
    SegmentWriter& operator=(const SegmentWriter&) = delete;

    void rotate()
    {
        if (fd_ >= 0) ::close(fd_);
        char name[32];
        logs::segment_name(++number_, name);
        fd_ = ::open((folder_ / name).c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        const auto header = logs::make_segment_header(number_, time_, lines_, bytes_);
        put({reinterpret_cast<const char*>(&header), sizeof header});
    }

    void record(logs::Kind kind, std::string_view payload, std::uint8_t flags = 0)
    {
        const auto header = logs::make_record_header(
            kind, flags, time_++, payload.data(), static_cast<std::uint32_t>(payload.size()));
        put(std::string{reinterpret_cast<const char*>(&header), sizeof header} +
            std::string{payload});
        if (kind != logs::Kind::out && kind != logs::Kind::err) return;
        bytes_ += payload.size();
        for (const char c : payload) lines_ += c == '\n' ? 1 : 0;
    }
    void out(std::string_view payload, std::uint8_t flags = 0)
    {
        record(logs::Kind::out, payload, flags);
    }
    void err(std::string_view payload, std::uint8_t flags = 0)
    {
        record(logs::Kind::err, payload, flags);
    }
    /// Bytes as they are: for torn ends.
    void put(std::string_view bytes)
    {
        if (::write(fd_, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()))
            throw std::runtime_error{"write segment"};
    }
    void remove(std::uint64_t number)
    {
        char name[32];
        logs::segment_name(number, name);
        std::filesystem::remove(folder_ / name);
    }
    std::uint64_t number() const { return number_; }

private:
    std::filesystem::path folder_;
    std::uint64_t number_ = 0;
    std::uint64_t lines_ = 0;
    std::uint64_t bytes_ = 0;
    std::int64_t time_ = 1000;
    int fd_ = -1;
};

}  // namespace znode::test
