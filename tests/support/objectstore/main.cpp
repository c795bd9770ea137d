// A small object store over HTTP, of the kind that people run on such a grid: objects are cut into
// DATA pieces, PARITY more are computed (Reed-Solomon), each goes to one 0-db namespace of SHARDS.
// Which piece is where is kept in /data. Everything it needs to know comes out of its environment.
//
//   PUT /NAME      stores; 201, or 503 when a shard does not take its piece
//   GET /NAME      the object, as long as any DATA of its pieces can be had; else 503
//   GET /          "SHARDS DATA PARITY", for whoever waits for it

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <isa-l/crc.h>
#include <isa-l/erasure_code.h>
#include <memory>
#include <sstream>
#include <thread>

#include "shards.hpp"

namespace objectstore {
namespace {

constexpr std::size_t most_bytes = std::size_t{64} << 20U;
const std::string folder = "/data/";

std::string to_hex(const std::string& bytes)
{
    static const char digits[] = "0123456789abcdef";
    std::string out;
    for (const char each : bytes) {
        const auto byte = static_cast<unsigned char>(each);
        out += digits[byte >> 4U];
        out += digits[byte & 15U];
    }
    return out;
}
std::string of_hex(const std::string& hex)
{
    std::string out;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
        out += static_cast<char>(std::strtol(hex.substr(i, 2).c_str(), nullptr, 16));
    return out;
}
unsigned checksum(const std::string& bytes)
{
    return crc32_gzip_refl(0, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
}

class Store {
public:
    Store(std::vector<Address> shards, int data, int parity) : data_{data}, parity_{parity}
    {
        for (auto& address : shards) shards_.push_back(std::make_unique<Shard>(std::move(address)));
        matrix_.resize(pieces() * static_cast<std::size_t>(data));
        gf_gen_cauchy1_matrix(matrix_.data(), data + parity, data);
    }

    bool put(const std::string& name, const std::string& object)
    {
        auto pieces_of_it = encode(object);
        std::ostringstream record;
        record << object.size() << ' ' << checksum(object);
        for (std::size_t i = 0; i < pieces(); ++i) {
            const auto key = shards_[i]->put(pieces_of_it[i]);
            if (!key) {
                std::fprintf(
                    stderr, "shard %s does not take a piece\n", shards_[i]->name().c_str());
                return false;
            }
            record << ' ' << to_hex(*key);
        }
        return keep(to_hex(name), record.str() + "\n");
    }

    /// Nothing there: an empty optional and `known` false.
    std::optional<std::string> get(const std::string& name, bool& known)
    {
        std::ifstream file{folder + to_hex(name)};
        std::size_t size = 0;
        unsigned wanted = 0;
        known = static_cast<bool>(file >> size >> wanted);
        if (!known) return std::nullopt;
        std::vector<std::string> keys;
        for (std::string key; file >> key;) keys.push_back(of_hex(key));
        std::vector<std::pair<std::size_t, std::string>> got;
        const auto length = piece_length(size);
        for (std::size_t i = 0; i < keys.size() && got.size() < static_cast<std::size_t>(data_);
             ++i)
            if (auto piece = shards_[i]->get(keys[i]); piece && piece->size() == length)
                got.emplace_back(i, std::move(*piece));
        if (got.size() < static_cast<std::size_t>(data_)) {
            std::fprintf(stderr, "only %zu pieces of %d\n", got.size(), data_);
            return std::nullopt;
        }
        auto object = decode(got, length);
        object.resize(size);
        if (checksum(object) != wanted) return std::nullopt;
        return object;
    }

    std::string description() const
    {
        return std::to_string(pieces()) + " " + std::to_string(data_) + " " +
               std::to_string(parity_) + "\n";
    }

private:
    std::size_t pieces() const { return static_cast<std::size_t>(data_ + parity_); }
    std::size_t piece_length(std::size_t size) const
    {
        const auto data = static_cast<std::size_t>(data_);
        return std::max<std::size_t>((size + data - 1) / data, 1);
    }
    static unsigned char* bytes_of(std::string& text)
    {
        return reinterpret_cast<unsigned char*>(text.data());
    }

    std::vector<std::string> encode(const std::string& object)
    {
        const auto length = piece_length(object.size());
        std::vector<std::string> pieces_of_it(pieces(), std::string(length, '\0'));
        std::vector<unsigned char*> all;
        for (std::size_t i = 0; i < pieces(); ++i) {
            if (i < static_cast<std::size_t>(data_) && i * length < object.size())
                object.copy(pieces_of_it[i].data(), length, i * length);
            all.push_back(bytes_of(pieces_of_it[i]));
        }
        std::vector<unsigned char> tables(32 * static_cast<std::size_t>(data_ * parity_));
        ec_init_tables(
            data_, parity_, &matrix_[static_cast<std::size_t>(data_ * data_)], tables.data());
        ec_encode_data(
            static_cast<int>(length),
            data_,
            parity_,
            tables.data(),
            all.data(),
            &all[static_cast<std::size_t>(data_)]);
        return pieces_of_it;
    }

    /// The rows of the matrix that belong to what was got, inverted, give the data back.
    std::string decode(std::vector<std::pair<std::size_t, std::string>>& got, std::size_t length)
    {
        const auto data = static_cast<std::size_t>(data_);
        std::vector<unsigned char> rows(data * data);
        std::vector<unsigned char> inverse(data * data);
        std::vector<unsigned char*> sources;
        for (std::size_t i = 0; i < data; ++i) {
            std::memcpy(&rows[i * data], &matrix_[got[i].first * data], data);
            sources.push_back(bytes_of(got[i].second));
        }
        if (gf_invert_matrix(rows.data(), inverse.data(), data_) != 0) return {};
        std::string object(data * length, '\0');
        std::vector<unsigned char*> into;
        for (std::size_t i = 0; i < data; ++i) into.push_back(bytes_of(object) + i * length);
        std::vector<unsigned char> tables(32 * data * data);
        ec_init_tables(data_, data_, inverse.data(), tables.data());
        ec_encode_data(
            static_cast<int>(length), data_, data_, tables.data(), sources.data(), into.data());
        return object;
    }

    static bool keep(const std::string& name, const std::string& record)
    {
        const auto beside = folder + "." + name;
        const int file = ::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (file < 0) return false;
        const bool written =
            ::write(file, record.data(), record.size()) == static_cast<ssize_t>(record.size()) &&
            ::fsync(file) == 0;
        ::close(file);
        return written && ::rename(beside.c_str(), (folder + name).c_str()) == 0;
    }

    int data_;
    int parity_;
    std::vector<std::unique_ptr<Shard>> shards_;
    std::vector<unsigned char> matrix_;
};

void answer(int socket, int status, const std::string& body)
{
    const auto text = "HTTP/1.1 " + std::to_string(status) +
                      " x\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    for (std::size_t at = 0; at < text.size();) {
        const auto sent = ::send(socket, text.data() + at, text.size() - at, MSG_NOSIGNAL);
        if (sent <= 0) return;
        at += static_cast<std::size_t>(sent);
    }
}

void handle(int socket, Store& store, const std::string& head, const std::string& body)
{
    std::istringstream line{head};
    std::string method;
    std::string path;
    line >> method >> path;
    const auto name = path.substr(path.empty() ? 0 : 1);
    bool known = false;
    if (method == "GET" && name.empty()) return answer(socket, 200, store.description());
    if (name.empty() || name.size() > 100) return answer(socket, 400, "bad name\n");
    if (method == "PUT") {
        const bool stored = store.put(name, body);
        return answer(socket, stored ? 201 : 503, stored ? "" : "a shard is away\n");
    }
    if (method != "GET") return answer(socket, 405, "PUT or GET\n");
    const auto object = store.get(name, known);
    if (object) return answer(socket, 200, *object);
    answer(socket, known ? 503 : 404, known ? "too many shards are away\n" : "no such object\n");
}

/// Requests of one connection, one after the other.
void serve(int socket, Store& store)
{
    timeval patience{.tv_sec = 30, .tv_usec = 0};
    (void)::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    std::string unread;
    char bytes[65536];
    const auto fill = [&] {
        const auto got = ::recv(socket, bytes, sizeof bytes, 0);
        if (got > 0) unread.append(bytes, static_cast<std::size_t>(got));
        return got > 0;
    };
    for (;;) {
        std::size_t end = 0;
        while ((end = unread.find("\r\n\r\n")) == unread.npos)
            if (unread.size() > 16384 || !fill()) return void(::close(socket));
        const auto head = unread.substr(0, end + 2);
        unread.erase(0, end + 4);
        std::size_t length = 0;
        for (std::size_t at = 0; (at = head.find("\r\n", at)) != head.npos; at += 2)
            if (::strncasecmp(head.c_str() + at + 2, "content-length:", 15) == 0)
                length = std::strtoul(head.c_str() + at + 17, nullptr, 10);
        if (length > most_bytes) return void(::close(socket));
        if (head.find("100-continue") != head.npos)
            (void)::send(socket, "HTTP/1.1 100 Continue\r\n\r\n", 25, MSG_NOSIGNAL);
        while (unread.size() < length)
            if (!fill()) return void(::close(socket));
        handle(socket, store, head, unread.substr(0, length));
        unread.erase(0, length);
    }
}

int number_of(const char* name)
{
    const char* text = std::getenv(name);
    return text != nullptr ? std::atoi(text) : 0;
}

}  // namespace
}  // namespace objectstore

int main()
{
    using namespace objectstore;
    std::signal(SIGPIPE, SIG_IGN);
    const char* text = std::getenv("SHARDS");
    const int data = number_of("DATA");
    const int parity = number_of("PARITY");
    std::vector<Address> shards;
    std::istringstream list{text != nullptr ? text : ""};
    for (std::string each; std::getline(list, each, ',');) {
        auto address = parse_address(each);
        if (!address) {
            std::fprintf(stderr, "SHARDS holds what is no namespace:password@host:port\n");
            return 2;
        }
        shards.push_back(std::move(*address));
    }
    if (data < 1 || parity < 1 || shards.size() != static_cast<std::size_t>(data + parity)) {
        std::fprintf(stderr, "%zu shards, but DATA + PARITY is %d\n", shards.size(), data + parity);
        return 2;
    }
    Store store{std::move(shards), data, parity};

    const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    (void)::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(9000);
    if (::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener, 64) != 0) {
        std::perror("port 9000");
        return 1;
    }
    std::printf("objects at port 9000, %s", store.description().c_str());
    std::fflush(stdout);
    for (;;) {
        const int socket = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        if (socket >= 0) std::thread{serve, socket, std::ref(store)}.detach();
    }
}
