#include <atomic>
#include <thread>

#include "flist/mount.hpp"
#include "served.hpp"

namespace znode::flist {
namespace {

/// Reads files again and again, past the kernel's cache, until told to stop.
class Reader {
public:
    Reader(std::string root, nlohmann::json files, std::size_t first)
        : root_{std::move(root)}, files_{std::move(files)}, next_{first}
    {
    }

    void run(const std::atomic<bool>& stop)
    {
        while (!stop) {
            const auto& entry = files_[next_++ % files_.size()];
            const auto path = root_ + test::path_of(entry);
            const auto content = read_uncached(path);
            const bool right =
                content && test::sha256(*content) == entry["sha256"].get<std::string>();
            if (right)
                ++good;
            else
                ++bad;
        }
    }

    std::atomic<int> good{0};
    std::atomic<int> bad{0};

private:
    static std::optional<std::string> read_uncached(const std::string& path)
    {
        const kernel::Fd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
        if (!file) return std::nullopt;
        ::posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED);
        const auto size = ::lseek(file.get(), 0, SEEK_END);
        std::string content(static_cast<std::size_t>(size), '\0');
        const auto got = kernel::pread_full(file.get(), content, 0);
        if (!got || *got != content.size()) return std::nullopt;
        return content;
    }

    std::string root_;
    nlohmann::json files_;
    std::size_t next_;
};

TEST(TakeoverTest, AServerKilledUnderFourReadersIsReplacedAndNobodyNotices)
{
    constexpr int kills = 25;
    const znode::test::TempFolder folder;
    const std::string root = folder.path() / "root";
    const std::string state = folder.path() / "state";
    std::filesystem::create_directory(root);
    nlohmann::json files;
    const auto manifest = test::manifest();
    for (const auto& entry : manifest["entries"])
        if (entry["type"] == "file" && entry["size"] > 0) files.push_back(entry);
    const auto fuse = attach_fuse(root, "znode-test").value();
    const auto start = [&] {
        return test::start_mount(
            test::data + "small.flist", root, test::sample_store, {"--state", state}, &fuse);
    };
    auto server = start();

    std::atomic<bool> stop{false};
    std::vector<std::unique_ptr<Reader>> readers;
    {
        std::vector<std::jthread> threads;
        for (std::size_t i = 0; i < 4; ++i) {
            readers.push_back(std::make_unique<Reader>(root, files, i * 90));
            threads.emplace_back([&stop, reader = readers.back().get()] { reader->run(stop); });
        }
        for (int i = 0; i < kills; ++i) {
            // Killed wherever it happens to be, once each reader got on since the last time.
            const int before = readers[0]->good + readers[0]->bad;
            while (readers[0]->good + readers[0]->bad < before + 5) std::this_thread::yield();
            ASSERT_TRUE(server.signal(SIGKILL));
            ASSERT_TRUE(server.wait(std::chrono::seconds{5}));
            server = start();
        }
        stop = true;
    }

    for (const auto& reader : readers) {
        EXPECT_EQ(reader->bad, 0);
        EXPECT_GT(reader->good, kills);
    }
    ASSERT_EQ(::umount2(root.c_str(), UMOUNT_NOFOLLOW), 0);
    const auto ended = server.wait(std::chrono::seconds{10});
    EXPECT_TRUE(ended && *ended && (*ended)->good());
    test::expect_nothing_mounted_below(folder.path());
}

}  // namespace
}  // namespace znode::flist
