// The monitor's relay: what goes into the FIFOs comes out of the segments, byte for byte, whoever
// is killed in between.

#include "relay.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <memory>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel/fd.hpp"
#include "kernel/files.hpp"
#include "temp_folder.hpp"

namespace znode::monitor {
namespace {

namespace fs = std::filesystem;
using container::MonitorPage;
using testing::ElementsAre;

struct Record {
    logs::Kind kind;
    std::uint8_t flags;
    std::string payload;
};

class RelayTest : public testing::Test {
protected:
    RelayTest()
    {
        fs::create_directory(logs_path);
        for (int i = 0; i < 2; ++i) {
            const auto path = folder.path() / (i == 0 ? "out" : "err");
            EXPECT_EQ(::mkfifo(path.c_str(), 0600), 0);
            fifos[i] = ::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
            writers[i] = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
        }
        const int file =
            ::open((folder.path() / "phase").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        EXPECT_EQ(::ftruncate(file, sizeof(MonitorPage)), 0);
        page = static_cast<MonitorPage*>(
            ::mmap(nullptr, sizeof(MonitorPage), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0));
        ::close(file);
        logs_fd = ::open(logs_path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    ~RelayTest() override
    {
        ::munmap(page, sizeof(MonitorPage));
        for (const int fd : {fifos[0], fifos[1], writers[0], writers[1], logs_fd}) ::close(fd);
    }
    void write(int stream, const std::string& text)
    {
        ASSERT_TRUE(kernel::write_all(writers[stream], text));
    }
    /// One life of a monitor that is not killed.
    void relay_once(bool first, std::uint64_t limit = 1 << 20, std::uint32_t count = 100)
    {
        Segments segments{logs_fd, limit, count};
        Relay relay{page, &segments, fifos};
        ASSERT_EQ(first ? relay.begin() : relay.resume(), 0);
        while (relay.move()) {
        }
        relay.flush();
    }
    std::vector<Record> records()
    {
        std::vector<Record> all;
        std::vector<fs::path> files;
        for (const auto& entry : fs::directory_iterator{logs_path}) files.push_back(entry.path());
        std::ranges::sort(files);
        for (const auto& file : files) {
            const auto bytes = *kernel::read_file(file, std::size_t{1} << 30U);
            EXPECT_GE(bytes.size(), sizeof(logs::SegmentHeader));
            for (std::size_t at = sizeof(logs::SegmentHeader); at < bytes.size();) {
                logs::RecordHeader head;
                std::memcpy(&head, bytes.data() + at, sizeof head);
                EXPECT_TRUE(logs::is_valid(head)) << file << " " << at;
                if (!logs::is_valid(head)) return all;
                at += sizeof head;
                all.push_back({head.kind, head.flags, bytes.substr(at, head.length)});
                EXPECT_EQ(head.payload_sum, logs::checksum(bytes.data() + at, head.length));
                at += head.length;
            }
        }
        return all;
    }
    std::string text_of(logs::Kind kind)
    {
        std::string text;
        for (const auto& record : records())
            if (record.kind == kind) text += record.payload;
        return text;
    }

    test::TempFolder folder;
    fs::path logs_path = folder.path() / "logs";
    int fifos[2] = {-1, -1};
    int writers[2] = {-1, -1};
    int logs_fd = -1;
    MonitorPage* page = nullptr;
};

TEST_F(RelayTest, WholeLinesPerStream)
{
    write(0, "one\ntwo\nhal");
    write(1, "oops\n");

    relay_once(true);

    const auto all = records();
    ASSERT_EQ(all.size(), 3U);
    EXPECT_EQ(all[0].payload, "one\ntwo\n");
    EXPECT_EQ(all[0].flags, 0);
    EXPECT_EQ(all[1].payload, "oops\n");
    EXPECT_EQ(all[2].payload, "hal");
    EXPECT_EQ(all[2].flags, logs::flag_open);
}

TEST_F(RelayTest, LineWithoutEndIsCutAndMarked)
{
    const std::string line(150'000, 'x');
    ::fcntl(fifos[0], F_SETPIPE_SZ, 1 << 20);
    write(0, line + "\nnext\n");

    relay_once(true);

    EXPECT_EQ(text_of(logs::Kind::out), line + "\nnext\n");
    const auto all = records();
    ASSERT_GE(all.size(), 3U);
    EXPECT_EQ(all[0].flags, logs::flag_open);
    EXPECT_EQ(all[1].flags, logs::flag_open | logs::flag_continues);
    EXPECT_EQ(all[2].flags, logs::flag_continues);
}

TEST_F(RelayTest, RotationKeepsLinesWholeAndTheCount)
{
    std::string all;
    {
        Segments segments{logs_fd, 4096, 3};
        Relay relay{page, &segments, fifos};
        ASSERT_EQ(relay.begin(), 0);
        for (int i = 0; i < 500; ++i) {
            const auto line = "line " + std::to_string(i) + "\n";
            write(0, line);
            all += line;
            while (relay.move()) {
            }
        }
    }

    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator{logs_path}) {
        names.push_back(entry.path().filename());
        EXPECT_LE(fs::file_size(entry.path()), 4096U);
    }
    EXPECT_EQ(names.size(), 3U);
    const auto kept = text_of(logs::Kind::out);
    EXPECT_TRUE(all.ends_with(kept));
    EXPECT_TRUE(kept.starts_with("line "));

    std::ranges::sort(names);
    const auto head_text = *kernel::read_file(logs_path / names.front());
    logs::SegmentHeader head;
    std::memcpy(&head, head_text.data(), sizeof head);
    EXPECT_EQ(head.bytes_before, all.size() - kept.size());
    EXPECT_EQ(
        head.lines_before,
        static_cast<std::uint64_t>(std::ranges::count(all, '\n') - std::ranges::count(kept, '\n')));
}

TEST_F(RelayTest, TornTailOfAPowerCutIsCut)
{
    write(0, "kept\n");
    relay_once(true);
    const auto file = logs_path / "0000000001.seg";
    const auto whole = fs::file_size(file);
    {
        const kernel::Fd fd = *kernel::open_file(file, O_WRONLY | O_APPEND);
        ASSERT_TRUE(kernel::write_all(fd.get(), std::string(100, '\0')));
    }
    std::memset(static_cast<void*>(page), 0, offsetof(MonitorPage, buffers));  // A new boot.
    write(0, "after\n");

    relay_once(true);

    EXPECT_EQ(text_of(logs::Kind::out), "kept\nafter\n");
    EXPECT_EQ(fs::file_size(file), whole + sizeof(logs::RecordHeader) + 6);
}

/// A disk that takes nothing, for as long as it lives.
class FullDisk {
public:
    FullDisk()
    {
        ::signal(SIGXFSZ, SIG_IGN);
        ::getrlimit(RLIMIT_FSIZE, &before_);
        const rlimit none{0, before_.rlim_max};
        ::setrlimit(RLIMIT_FSIZE, &none);
    }
    ~FullDisk() { ::setrlimit(RLIMIT_FSIZE, &before_); }
    FullDisk(const FullDisk&) = delete;
    FullDisk& operator=(const FullDisk&) = delete;

private:
    rlimit before_{};
};

TEST_F(RelayTest, SuccessorMakesTheSegmentThatAFullDiskRefused)
{
    {
        const FullDisk full;
        Segments segments{logs_fd, 1 << 20, 100};
        Relay relay{page, &segments, fifos};
        ASSERT_EQ(relay.begin(), 0);
        ASSERT_EQ(page->log.offset, 0U);
    }
    write(0, "one\n");

    relay_once(false);

    EXPECT_EQ(text_of(logs::Kind::out), "one\n");
}

TEST_F(RelayTest, SuccessorGoesOnWhereASegmentWasRemoved)
{
    write(0, "one\n");
    relay_once(true);
    fs::remove(logs_path / "0000000001.seg");
    write(0, "two\n");

    relay_once(false);

    EXPECT_EQ(text_of(logs::Kind::out), "two\n");
    const auto bytes = kernel::read_file(logs_path / "0000000002.seg").value_or("");
    logs::SegmentHeader head;
    ASSERT_GE(bytes.size(), sizeof head);
    std::memcpy(&head, bytes.data(), sizeof head);
    EXPECT_EQ(head.bytes_before, 4U) << "what was said stays counted";
}

TEST_F(RelayTest, FileThatIsNotOursIsLeftAloneOnAFullDisk)
{
    const auto file = logs_path / "0000000001.seg";
    ASSERT_TRUE(kernel::write_file_atomically(file, std::string(200, 'x'), 0600));
    {
        const FullDisk full;
        Segments segments{logs_fd, 1 << 20, 100};
        Relay relay{page, &segments, fifos};
        ASSERT_EQ(relay.begin(), 0);
        relay.mark(logs::Kind::started, "pid=1");
    }

    EXPECT_EQ(kernel::read_file(file).value_or(""), std::string(200, 'x'));
}

TEST_F(RelayTest, LossIsToldWithoutAnyMoreOutput)
{
    relay_once(true);
    page->streams[1].lost_bytes = 5;
    Segments segments{logs_fd, 1 << 20, 100};
    Relay relay{page, &segments, fifos};
    ASSERT_EQ(relay.resume(), 0);
    {
        const FullDisk full;
        relay.tell_lost();
        EXPECT_TRUE(relay.owes()) << "nobody could be told";
    }
    relay.flush();

    EXPECT_FALSE(relay.owes());
    EXPECT_EQ(text_of(logs::Kind::lost), "stream=err bytes=5");
}

TEST_F(RelayTest, CountsLinesInAnyAlignment)
{
    std::mt19937 random{1};
    std::string bytes(1000, 'x');
    for (auto& byte : bytes) byte = "\n\v\x8a x\r"[random() % 6];
    for (std::size_t from = 0; from < 20; ++from) {
        const auto part = bytes.substr(from);
        EXPECT_EQ(
            count_lines(reinterpret_cast<const unsigned char*>(part.data()), part.size()),
            static_cast<std::uint64_t>(std::ranges::count(part, '\n')));
    }
}

/// Writes numbered lines of many lengths to both streams and ends.
[[noreturn]] void print(const int (&writers)[2], int lines)
{
    std::mt19937 random{7};
    std::string pending[2];
    for (int i = 0; i < lines; ++i) {
        auto& text = pending[i % 3 == 0 ? 1 : 0];
        text +=
            std::to_string(i) + std::string(random() % 200, static_cast<char>('a' + i % 26)) + "\n";
        // Written in pieces that end anywhere.
        if (random() % 8 == 0 || i + 1 == lines)
            for (int stream = 0; stream < 2; ++stream) {
                const auto all = i + 1 == lines;
                const auto size = all ? pending[stream].size() : pending[stream].size() * 2 / 3;
                if (!kernel::write_all(writers[stream], pending[stream].substr(0, size)))
                    ::_exit(1);
                pending[stream].erase(0, size);
            }
    }
    ::_exit(0);
}

std::string expected(int stream, int lines)
{
    std::mt19937 random{7};
    std::string all;
    for (int i = 0; i < lines; ++i) {
        const auto line =
            std::to_string(i) + std::string(random() % 200, static_cast<char>('a' + i % 26)) + "\n";
        if ((i % 3 == 0 ? 1 : 0) == stream) all += line;
        if (random() % 8 == 0) continue;
    }
    return all;
}

TEST_F(RelayTest, KilledAtAnyMomentLosesAndDoublesNothing)
{
    constexpr int lines = 30'000;
    std::random_device device;
    const auto seed = device();
    RecordProperty("seed", std::to_string(seed));
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random{seed};

    {
        Segments segments{logs_fd, 1 << 20, 1000};
        Relay relay{page, &segments, fifos};
        ASSERT_EQ(relay.begin(), 0);
    }
    const pid_t writer = ::fork();
    if (writer == 0) print(writers, lines);

    int kills = 0;
    int begun[2];
    ASSERT_EQ(::pipe2(begun, O_CLOEXEC | O_NONBLOCK), 0);
    for (bool written = false; !written;) {
        // Most lives count from where it went on, some include how it takes over.
        const bool whole = random() % 4 == 0;
        const pid_t relay_process = ::fork();
        if (relay_process == 0) {
            Segments segments{logs_fd, 1 << 20, 1000};
            Relay relay{page, &segments, fifos};
            if (relay.resume() != 0) ::_exit(1);
            (void)!::write(begun[1], "", 1);
            for (;;) {
                struct pollfd wait[] = {{fifos[0], POLLIN, 0}, {fifos[1], POLLIN, 0}};
                ::poll(wait, 2, 100);
                (void)relay.move();
            }
        }
        // Its life lasts some random microseconds, counted in the kernel's own work.
        struct pollfd goes_on{begun[0], POLLIN, 0};
        if (!whole) (void)::poll(&goes_on, 1, 10'000);
        const auto until = wall_ns() + 200'000 + static_cast<std::int64_t>(random() % 3'000'000);
        while (wall_ns() < until) {
            if (::waitpid(writer, nullptr, WNOHANG) == writer) {
                written = true;
                break;
            }
        }
        ::kill(relay_process, SIGKILL);
        int how = 0;
        ASSERT_EQ(::waitpid(relay_process, &how, 0), relay_process);
        ASSERT_TRUE(WIFSIGNALED(how)) << "a successor could not go on";
        char said[16];
        while (::read(begun[0], said, sizeof said) > 0) {
        }
        ++kills;
    }
    ::close(begun[0]);
    ::close(begun[1]);
    relay_once(false);

    EXPECT_GT(kills, 10);
    RecordProperty("kills", kills);
    EXPECT_TRUE(text_of(logs::Kind::out) == expected(0, lines));
    EXPECT_TRUE(text_of(logs::Kind::err) == expected(1, lines));
}

}  // namespace
}  // namespace znode::monitor
