#include "base/journal.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace znode {
namespace {

constexpr std::string_view journal_socket = "/run/systemd/journal/socket";

/// Text that may hold line breaks: name, length in eight bytes (little endian), bytes.
void add_framed(std::string& entry, std::string_view name, std::string_view value)
{
    entry += name;
    entry += '\n';
    auto size = std::uint64_t{value.size()};
    for (int byte = 0; byte < 8; ++byte, size >>= 8U)
        entry += static_cast<char>(static_cast<unsigned char>(size & 0xFFU));
    entry += value;
    entry += '\n';
}

void add_plain(std::string& entry, std::string_view name, std::string_view value)
{
    entry += name;
    entry += '=';
    entry += value;
    entry += '\n';
}

/// The word that follows `key` where a word begins; "" when there is none.
std::string_view word_after(std::string_view line, std::string_view key)
{
    for (auto at = line.find(key); at != std::string_view::npos; at = line.find(key, at + 1)) {
        if (at != 0 && line[at - 1] != ' ') continue;
        const auto rest = line.substr(at + key.size());
        return rest.substr(0, rest.find(' '));
    }
    return {};
}

/// "12-1" and nothing else: an id that is no workload's has another field's meaning.
bool is_gwid(std::string_view word)
{
    const auto dash = word.find('-');
    if (dash == std::string_view::npos || dash == 0 || dash + 1 == word.size()) return false;
    for (std::size_t i = 0; i < word.size(); ++i)
        if (i != dash && (word[i] < '0' || word[i] > '9')) return false;
    return word.size() <= 40;
}

bool is_word(std::string_view word)
{
    for (const char c : word)
        if (c != '_' && (c < 'a' || c > 'z')) return false;
    return !word.empty();
}

}  // namespace

bool stderr_is_the_journal()
{
    const char* stream = std::getenv("JOURNAL_STREAM");
    unsigned long long device = 0;
    unsigned long long inode = 0;
    if (stream == nullptr || std::sscanf(stream, "%llu:%llu", &device, &inode) != 2) return false;
    struct stat file{};
    return ::fstat(STDERR_FILENO, &file) == 0 && file.st_dev == device && file.st_ino == inode;
}

std::string journal_entry(std::string_view program, int priority, std::string_view line)
{
    std::string entry;
    add_plain(entry, "PRIORITY", std::to_string(priority));
    add_plain(entry, "SYSLOG_IDENTIFIER", program);
    // Of a text that was sent to us nothing may become a field.
    const auto facts = line.substr(0, line.find('"'));
    for (const auto* key : {"workload ", "id=", "gwid=", "workload="}) {
        const auto word = word_after(facts, key);
        if (!is_gwid(word)) continue;
        add_plain(entry, "ZNODE_WORKLOAD", word);
        break;
    }
    if (const auto state = word_after(facts, "state="); is_word(state))
        add_plain(entry, "ZNODE_STATE", state);
    add_framed(entry, "MESSAGE", line);
    return entry;
}

bool send_to_journal(std::string_view entry)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, journal_socket.data(), journal_socket.size());
    static const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);  // For all of our life.
    if (fd < 0) return false;
    // By name each time: a restarted journal has another socket there.
    return ::sendto(
               fd,
               entry.data(),
               entry.size(),
               MSG_NOSIGNAL | MSG_DONTWAIT,
               reinterpret_cast<const sockaddr*>(&address),
               sizeof address) == static_cast<ssize_t>(entry.size());
}

}  // namespace znode
