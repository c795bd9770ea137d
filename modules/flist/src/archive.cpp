// The outer shell of a flist: gzip around tar. One member is looked for; no other name matters.

#include <algorithm>
#include <cstring>
#include <memory>

#include <zlib.h>

#include "base/text.hpp"
#include "flist/reader.hpp"

namespace znode::flist {
namespace {

constexpr std::size_t block = 512;
constexpr std::string_view database_name = "flistdb.sqlite3";

/// Gives the tar's bytes in order, whether it is compressed or not.
class TarBytes {
public:
    explicit TarBytes(std::string_view flist) : input_{flist}
    {
        if (flist.size() < 2 || flist.substr(0, 2) != "\x1f\x8b") return;
        gzip_ = std::make_unique<z_stream>();
        inflateInit2(gzip_.get(), 16 + MAX_WBITS);
        gzip_->next_in = reinterpret_cast<Bytef*>(const_cast<char*>(flist.data()));  // NOLINT
        gzip_->avail_in = static_cast<uInt>(flist.size());
    }
    ~TarBytes()
    {
        if (gzip_) inflateEnd(gzip_.get());
    }
    TarBytes(const TarBytes&) = delete;
    TarBytes& operator=(const TarBytes&) = delete;

    /// Fills all of `into`, or less at the end.
    Result<std::size_t> read(char* into, std::size_t size)
    {
        if (!gzip_) {
            const auto taken = std::min(size, input_.size());
            std::memcpy(into, input_.data(), taken);
            input_.remove_prefix(taken);
            return taken;
        }
        std::size_t got = 0;
        while (got < size && !ended_) {
            gzip_->next_out = reinterpret_cast<Bytef*>(into + got);
            const auto room = static_cast<uInt>(std::min<std::size_t>(size - got, 1U << 30U));
            gzip_->avail_out = room;
            const int outcome = inflate(gzip_.get(), Z_NO_FLUSH);
            got += room - gzip_->avail_out;
            if (outcome == Z_STREAM_END)
                ended_ = true;
            else if (
                outcome == Z_BUF_ERROR || (outcome == Z_OK && gzip_->avail_in == 0 && got < size))
                return fail(Errc::corrupt, "the flist is cut off: its gzip stream does not end");
            else if (outcome != Z_OK)
                return fail(Errc::corrupt, "the flist's gzip stream is damaged");
        }
        return got;
    }

private:
    std::string_view input_;
    std::unique_ptr<z_stream> gzip_;
    bool ended_ = false;
};

struct Member {
    std::string name;
    std::uint64_t size = 0;
    char type = '0';
};

bool checksum_fits(const char* header)
{
    unsigned long sum = 0;
    for (std::size_t i = 0; i < block; ++i)
        sum += i >= 148 && i < 156 ? ' ' : static_cast<unsigned char>(header[i]);
    unsigned long said = 0;
    for (std::size_t i = 148; i < 156; ++i)
        if (header[i] >= '0' && header[i] <= '7')
            said = said * 8 + static_cast<unsigned long>(header[i] - '0');
        else if (said != 0)
            break;
    return sum == said;
}

std::uint64_t size_field(const char* header)
{
    std::uint64_t size = 0;
    if ((static_cast<unsigned char>(header[124]) & 0x80U) != 0) {  // GNU: binary, big endian.
        for (std::size_t i = 128; i < 136; ++i)
            size = size << 8U | static_cast<unsigned char>(header[i]);
        return size;
    }
    for (std::size_t i = 124; i < 136; ++i)
        if (header[i] >= '0' && header[i] <= '7')
            size = size * 8 + static_cast<std::uint64_t>(header[i] - '0');
    return size;
}

Result<Member> parse_header(const char* header)
{
    if (!checksum_fits(header)) return fail(Errc::corrupt, "this is no flist: no tar inside");
    Member member;
    member.name.assign(header, strnlen(header, 100));
    member.size = size_field(header);
    member.type = header[156];
    return member;
}

}  // namespace

Result<std::string> unpack_database(std::string_view flist, const Limits& limits)
{
    if (flist.empty()) return fail(Errc::corrupt, "the flist is empty");
    if (flist.substr(0, 15) == "SQLite format 3")
        return fail(Errc::unsupported, "this is an fl file (bare sqlite), not a classic flist");

    TarBytes tar{flist};
    std::uint64_t passed = 0;
    std::string first_other;
    for (;;) {
        char header[block];
        TRY(const auto got, tar.read(header, block));
        const bool end =
            got == 0 || std::all_of(header, header + got, [](char c) { return c == 0; });
        if (end) break;
        if (got < block) return fail(Errc::corrupt, "the flist is cut off inside of a tar header");

        TRY(const auto member, parse_header(header));
        passed += member.size + block;
        if (member.size > limits.database_bytes || passed > limits.database_bytes)
            return fail(
                Errc::exhausted,
                "the flist unpacks to more than " + format_size(limits.database_bytes));

        std::string_view name = member.name;
        while (name.starts_with("./")) name.remove_prefix(2);
        const bool wanted = name == database_name && (member.type == '0' || member.type == '\0');
        if (!wanted && !name.empty() && first_other.empty()) first_other = name;

        std::string content;
        std::uint64_t left = (member.size + block - 1) / block * block;
        while (left > 0) {
            // Grows with what arrives, so that a header alone cannot make us take memory.
            char skipped[std::size_t{64} << 10U];
            const auto part = std::min<std::uint64_t>(left, sizeof skipped);
            TRY(const auto count, tar.read(skipped, part));
            if (wanted) content.append(skipped, count);
            if (count < part) {
                if (wanted && content.size() >= member.size) break;
                return fail(
                    Errc::corrupt, "the flist is cut off inside of " + printable(member.name));
            }
            left -= part;
        }
        if (wanted) {
            content.resize(member.size);
            return content;
        }
    }
    if (first_other.empty()) return fail(Errc::corrupt, "the flist holds no flistdb.sqlite3");
    return fail(
        Errc::corrupt,
        "the flist holds no flistdb.sqlite3 but " + printable(first_other) +
            " (flists from before August 2018 hold a RocksDB: pack it again)");
}

}  // namespace znode::flist
