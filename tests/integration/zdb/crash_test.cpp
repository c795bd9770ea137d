// kill -9 under load, with a checker that knows every acknowledged write.

#include <atomic>
#include <map>
#include <random>
#include <thread>

#include "live_server.hpp"

namespace znode::zdb {
namespace {

struct Known {
    std::map<std::string, std::string> acknowledged;  ///< "" for deleted.
    std::map<std::string, std::string> unanswered;    ///< Either outcome is right.
};

/// Writes until the server is gone. Every key belongs to one writer, so order is known.
void write_until_killed(
    const std::string& socket,
    unsigned seed,
    std::string name_space,
    Known* known,
    std::atomic<int>* writes)
{
    std::mt19937 random{seed};
    Talk talk{socket};
    if (!talk.connected()) return;
    const bool sequential = name_space == "ids";
    if (talk.ask({"SELECT", name_space}) != "+OK\r\n") return;
    for (int i = 0;; ++i) {
        // A pipeline of up to eight, acknowledged one by one.
        const auto depth = 1 + random() % 8;
        std::vector<std::pair<std::string, std::string>> sent;
        std::string bytes;
        for (unsigned n = 0; n < depth; ++n) {
            std::string key = "w" + std::to_string(seed) + "-" + std::to_string(random() % 50);
            std::string value = key + "=" + std::to_string(i) + std::string(random() % 2000, 'x');
            if (sequential) key.clear();
            const bool remove = !sequential && random() % 5 == 0;
            bytes += remove ? Talk::encode({"DEL", key}) : Talk::encode({"SET", key, value});
            sent.emplace_back(key, remove ? "" : value);
        }
        const bool all_sent = talk.send(bytes);
        for (std::size_t n = 0; n < sent.size(); ++n) {
            const auto reply = all_sent ? talk.raw_reply() : std::string{};
            if (reply.empty()) {
                for (; n < sent.size(); ++n)
                    if (!sequential) known->unanswered[sent[n].first] += "|" + sent[n].second;
                return;
            }
            if (reply[0] == '-' && reply != "-Key not found\r\n") {
                ADD_FAILURE() << reply;
                return;
            }
            const std::string key = sequential ? reply.substr(4, 8) : sent[n].first;
            known->acknowledged[key] = sent[n].second;
            known->unanswered.erase(key);
            ++*writes;
        }
    }
}

std::string value_of(Talk& talk, const std::string& key)
{
    const auto reply = talk.ask({"GET", key});
    if (reply == "$-1\r\n") return {};
    const auto start = reply.find("\r\n");
    if (reply.empty() || reply[0] != '$') return "error " + reply;
    return reply.substr(start + 2, reply.size() - start - 4);
}

class CrashTest : public testing::TestWithParam<const char*> {};

TEST_P(CrashTest, TenKillsLoseNothingAcknowledgedAndRaiseNothingDeleted)
{
    Words arguments{"--datasize", "512K"};
    if (std::string_view{GetParam()} == "sync") arguments.emplace_back("--sync");
    LiveServer server{arguments};
    ASSERT_FALSE(HasFatalFailure());
    const std::string name_space = std::string_view{GetParam()} == "ids" ? "ids" : "keys";
    {
        Talk talk{server.socket()};
        ASSERT_EQ(talk.ask({"NSNEW", name_space}), "+OK\r\n");
        if (name_space == "ids") ASSERT_EQ(talk.ask({"NSSET", "ids", "mode", "seq"}), "+OK\r\n");
    }
    std::array<Known, 4> known;
    std::atomic<int> writes = 0;
    std::mt19937 random{4711};  // NOLINT(cert-msc51-cpp): repeatable on purpose.
    int checked = 0;
    for (int kill = 0; kill < 10; ++kill) {
        const int until = writes + 200 + static_cast<int>(random() % 600);
        std::vector<std::jthread> writers;
        for (unsigned w = 0; w < known.size(); ++w)
            writers.emplace_back(
                write_until_killed,
                server.socket(),
                w * 100 + static_cast<unsigned>(kill),
                name_space,
                &known[w],
                &writes);
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds{60};
        while (writes < until && std::chrono::steady_clock::now() < deadline)
            std::this_thread::yield();
        server.kill();
        writers.clear();
        server.start();
        ASSERT_FALSE(HasFatalFailure());

        Talk talk{server.socket()};
        ASSERT_EQ(talk.ask({"SELECT", name_space}), "+OK\r\n");
        for (auto& one : known) {
            for (auto& [key, value] : one.acknowledged) {
                const auto now = value_of(talk, key);
                const auto open = one.unanswered.find(key);
                if (open == one.unanswered.end()) {
                    EXPECT_EQ(now, value) << key;
                } else {
                    EXPECT_TRUE(
                        now == value ||
                        (open->second + "|").find("|" + now + "|") != std::string::npos)
                        << key;
                }
                value = now;
                ++checked;
            }
            one.unanswered.clear();
        }
    }
    EXPECT_GT(checked, 1000);
    server.kill(SIGTERM);
    EXPECT_FALSE(std::filesystem::exists(server.folder() / "data" / "running"));
}

INSTANTIATE_TEST_SUITE_P(
    Ways, CrashTest, testing::Values("keys", "ids", "sync"), [](const auto& tested) {
        return std::string{tested.param};
    });

}  // namespace
}  // namespace znode::zdb
