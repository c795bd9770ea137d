#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace znode::flist {

/// Position of an entry in its tree. The root is 0. The same flist always gives the same numbers,
/// in whatever process and order it is read: that is what lets one FUSE server take over from
/// another.
using Index = std::uint32_t;

/// Bytes of a file that one block carries; only the last block of a file is shorter.
inline constexpr std::uint64_t chunk_size = std::uint64_t{512} << 10U;

constexpr std::uint64_t chunks_of(std::uint64_t size) noexcept
{
    return size / chunk_size + (size % chunk_size != 0 ? 1 : 0);
}

/// One entry of a tree. What `first` and `count` mean depends on the type in `mode`.
struct Node {
    std::uint64_t size = 0;
    Index parent = 0;
    std::uint32_t first = 0;    ///< Folder: first child. File: first block. Link: offset of target.
    std::uint32_t count = 0;    ///< Folder: children. File: blocks. Link: bytes of target.
    std::uint32_t folders = 0;  ///< Folder: how many children are folders.
    std::uint32_t name_offset = 0;
    std::uint32_t mode = 0;  ///< Type and permission bits, as in st_mode.
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::uint32_t mtime = 0;  ///< Seconds since 1970.
    std::uint32_t ctime = 0;
    std::uint32_t major = 0;  ///< Device numbers.
    std::uint32_t minor = 0;
    std::uint16_t name_length = 0;

    bool is_folder() const noexcept { return (mode & 0170000U) == 0040000U; }
    bool is_file() const noexcept { return (mode & 0170000U) == 0100000U; }
    bool is_link() const noexcept { return (mode & 0170000U) == 0120000U; }
};

/// Names of one block: `id` is asked of a store, `key` decrypts it and proves the plain bytes.
/// Views into the tree.
struct BlockRef {
    std::string_view id;
    std::string_view key;
};

/// An owner that the flist knows by name only, and the entry that it belongs to.
struct NamedOwner {
    Index index = 0;
    std::uint32_t user = 0;   ///< In the tree's owner names; 0: the number was there.
    std::uint32_t group = 0;  ///< In the tree's owner names; 0: the number was there.
};

/// What a reader fills in. Children of a folder lie side by side, sorted by name.
struct TreeParts {
    std::vector<Node> nodes;
    std::string text;           ///< Names and link targets.
    std::string refs;           ///< id and key of each block, one after the other.
    std::size_t ref_size = 16;  ///< Bytes of an id, and of a key.
    std::map<std::string, std::string> metadata;
    std::vector<NamedOwner> named_owners;
    std::vector<std::string> owner_names{""};  ///< Each once; the first is nobody's.
};

/// A file system tree that never changes, read once from a flist. Any thread may read it.
class Tree {
public:
    explicit Tree(TreeParts parts);

    std::size_t size() const noexcept { return parts_.nodes.size(); }
    const Node& operator[](Index index) const noexcept { return parts_.nodes[index]; }
    std::string_view name(Index index) const noexcept { return name(parts_.nodes[index]); }
    std::string_view name(const Node& node) const noexcept
    {
        return std::string_view{parts_.text}.substr(node.name_offset, node.name_length);
    }
    /// Empty for anything but a symbolic link.
    std::string_view target(const Node& node) const noexcept;
    std::optional<Index> child(const Node& folder, std::string_view name) const noexcept;
    /// Entry at a path ("/" or "" is the root); links are not followed.
    std::optional<Index> find(std::string_view path) const noexcept;
    /// Absolute path of an entry.
    std::string path(Index index) const;
    BlockRef block(const Node& file, std::uint32_t number) const noexcept;
    /// Files: 1. Folders: 2 and one for each folder inside.
    std::uint32_t links(const Node& node) const noexcept;

    /// Table of the packer: `entrypoint`, `environ`, … as JSON text. Nobody checked it.
    const std::map<std::string, std::string>& metadata() const noexcept { return parts_.metadata; }
    std::uint64_t content_bytes() const noexcept { return content_bytes_; }
    std::size_t block_count() const noexcept { return parts_.refs.size() / parts_.ref_size / 2; }
    const std::vector<NamedOwner>& named_owners() const noexcept { return parts_.named_owners; }
    const std::string& owner_name(std::uint32_t number) const { return parts_.owner_names[number]; }
    /// Gives entries numbers in place of names; before the tree is shared with other threads.
    void set_owner(Index index, std::optional<std::uint32_t> uid, std::optional<std::uint32_t> gid);

private:
    TreeParts parts_;
    std::uint64_t content_bytes_ = 0;
};

}  // namespace znode::flist
