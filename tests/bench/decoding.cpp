// What reading a page of work costs: the agent's reader, and nlohmann::json's parser on the same
// bytes, in turns.
//
//   bench_decoding FILE ROUNDS [NODE]   a page of the pools era; with a node, of the first era
//
// One line of JSON: entries, bytes, and per round the nanoseconds of processor time of both.

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>

#include <nlohmann/json.hpp>

#include "explorer/node_api.hpp"
#include "kernel/files.hpp"

namespace {

/// Processor time of this program, in nanoseconds: what else the machine does is not counted.
double used()
{
    timespec time{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

/// Of one call, out of as many as take 50 ms.
template <class Work>
double time_of(Work work)
{
    const double begun = used();
    std::int64_t calls = 0;
    while (used() - begun < 50e6) {
        work();
        ++calls;
    }
    return (used() - begun) / static_cast<double>(calls);
}

}  // namespace

int main(int argc, char** argv)
{
    if (argc < 3) return 2;
    const auto text = znode::kernel::read_file(argv[1]);
    if (!text) {
        std::fprintf(stderr, "bench_decoding: %s\n", text.error().message.c_str());
        return 1;
    }
    const auto rounds = std::strtol(argv[2], nullptr, 10);
    const std::string node = argc > 3 ? argv[3] : "";
    const auto read = [&] {
        return node.empty() ? znode::explorer::read_page(*text)
                            : znode::explorer::read_legacy_page(*text, node);
    };

    const auto entries = read();
    if (!entries) return 1;
    for (const auto& entry : *entries)
        if (!entry.workload) {
            std::fprintf(stderr, "bench_decoding: %s\n", entry.workload.error().message.c_str());
            return 1;
        }
    std::printf("{\"entries\":%zu,\"bytes\":%zu,\"rounds\":[", entries->size(), text->size());
    std::size_t seen = 0;
    for (long round = 0; round < rounds; ++round) {
        const double ours = time_of([&] { seen += read()->size(); });
        const double theirs = time_of([&] { seen += nlohmann::json::parse(*text).size(); });
        std::printf("%s[%.0f,%.0f]", round == 0 ? "" : ",", ours, theirs);
    }
    std::printf("]}\n");
    return seen > 0 ? 0 : 1;
}
