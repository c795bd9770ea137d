// From the records of a flist to a Tree: folder by folder, breadth first, so that the children of
// one folder lie side by side and every number follows from the tree alone.

#include "flist/reader.hpp"

#include <algorithm>
#include <cstring>
#include <deque>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "base/text.hpp"
#include "database.hpp"
#include "kernel/files.hpp"
#include "wire.hpp"

namespace znode::flist {
namespace {

constexpr std::size_t name_limit = 255;
constexpr std::size_t target_limit = 4095;
constexpr std::size_t owner_limit = 256;
constexpr std::uint32_t nobody = 65534;
// Where the original packer's 32-bit float may round one block away.
constexpr std::uint64_t float_rounds_from = std::uint64_t{16} << 20U;

struct Acl {
    std::uint32_t mode = 0400;
    std::uint32_t uid = nobody;
    std::uint32_t gid = nobody;
    std::uint32_t user = 0;  // Only when the number is not known.
    std::uint32_t group = 0;
};

std::string_view view(capnp::Text::Reader text) { return {text.cStr(), text.size()}; }
std::string_view view(capnp::Data::Reader data)
{
    return {reinterpret_cast<const char*>(data.begin()), data.size()};
}

capnp::ReaderOptions reader_options()
{
    capnp::ReaderOptions options;
    options.traversalLimitInWords = (std::size_t{64} << 20U) / sizeof(capnp::word);
    options.nestingLimit = 64;
    return options;
}

/// Sqlite's blobs have any alignment, records need that of words.
std::vector<capnp::word> words_of(std::string_view record)
{
    std::vector<capnp::word> words(record.size() / sizeof(capnp::word));
    std::memcpy(words.data(), record.data(), words.size() * sizeof(capnp::word));
    return words;
}

/// Empty: only the name is known.
std::optional<std::uint32_t> owner(std::int64_t number, std::string_view name)
{
    if (number >= 0 && number <= 0xFFFFFFFE) return static_cast<std::uint32_t>(number);
    if (name == "root") return 0;
    return to_number<std::uint32_t>(name);
}

/// Reads one flist; used once.
class Reading {
public:
    Reading(Database database, const Limits& limits)
        : database_{std::move(database)}, limits_{limits}
    {
    }

    Result<Tree> run()
    {
        TRY(parts_.metadata, database_.metadata());
        Node root;
        root.mode = 0040755U;
        parts_.nodes.push_back(root);
        // BLAKE2b-128 of the empty path.
        pending_.push_back({0, "cae66941d9efbd404e4d88758ea67670"});
        seen_.insert(pending_.front().key);

        while (!pending_.empty()) {
            const auto next = std::move(pending_.front());
            pending_.pop_front();
            if (auto read = read_folder(next.index, next.key); !read)
                return tl::unexpected(
                    std::move(read).error().during("folder " + printable(path(next.index), 200)));
        }
        parts_.nodes.shrink_to_fit();
        parts_.text.shrink_to_fit();
        parts_.refs.shrink_to_fit();
        return Tree{std::move(parts_)};
    }

private:
    struct Pending {
        Index index;
        std::string key;
    };
    struct Entry {
        Node node;
        std::string_view name;
        std::string folder_key;
        Acl acl;
    };

    Result<> read_folder(Index index, const std::string& key)
    try {
        TRY(const auto record, database_.entry(key));
        if (!record) return fail(Errc::corrupt, "its record " + printable(key) + " is missing");
        if (record->size() % sizeof(capnp::word) != 0 || record->empty())
            return fail(Errc::corrupt, "its record is cut off");

        const auto words = words_of(*record);
        capnp::FlatArrayMessageReader message{
            kj::arrayPtr(words.data(), words.size()), reader_options()};
        const auto dir = message.getRoot<wire::Dir>();

        TRY(const auto acl, acl_of(view(dir.getAclkey())));
        Node& self = parts_.nodes[index];
        self.size = dir.getSize();
        self.mode = 0040000U | acl.mode;
        self.mtime = dir.getModificationTime();
        self.ctime = dir.getCreationTime();
        set_owner(index, self, acl);
        return read_children(index, dir.getContents());
    } catch (const kj::Exception& error) {
        return fail(
            Errc::corrupt,
            std::string{"its record makes no sense: "} + error.getDescription().cStr());
    }

    Result<> read_children(Index folder, capnp::List<wire::Inode>::Reader contents)
    {
        if (contents.size() > limits_.entries - parts_.nodes.size())
            return fail(
                Errc::exhausted, "more than " + std::to_string(limits_.entries) + " entries");

        std::vector<Entry> entries;
        for (const auto inode : contents) {
            const auto name = view(inode.getName());
            auto entry = read_entry(inode, name);
            if (!entry) return tl::unexpected(std::move(entry).error().during(printable(name)));
            entries.push_back(*std::move(entry));
        }
        std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
            return a.name < b.name;
        });
        const auto twice =
            std::adjacent_find(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
                return a.name == b.name;
            });
        if (twice != entries.end())
            return fail(Errc::corrupt, "two entries are named " + printable(twice->name));

        const auto first = static_cast<Index>(parts_.nodes.size());
        parts_.nodes[folder].first = first;
        parts_.nodes[folder].count = static_cast<std::uint32_t>(entries.size());
        for (auto& entry : entries) {
            const auto index = static_cast<Index>(parts_.nodes.size());
            entry.node.parent = folder;
            entry.node.name_length = static_cast<std::uint16_t>(entry.name.size());
            TRY(entry.node.name_offset, keep_text(entry.name));
            if (entry.node.is_folder()) {
                ++parts_.nodes[folder].folders;
                if (!seen_.insert(entry.folder_key).second)
                    return fail(
                        Errc::corrupt,
                        printable(entry.name) + ": this folder appears twice in the tree (a loop)");
                pending_.push_back({index, std::move(entry.folder_key)});
            }
            set_owner(index, entry.node, entry.acl);
            parts_.nodes.push_back(entry.node);
        }
        return {};
    }

    Result<Entry> read_entry(wire::Inode::Reader inode, std::string_view name)
    {
        if (name.empty() || name == "." || name == ".." ||
            name.find('/') != std::string_view::npos || name.find('\0') != std::string_view::npos)
            return fail(Errc::corrupt, "this is no name for an entry");
        if (name.size() > name_limit)
            return fail(Errc::corrupt, "names may have 255 bytes at most");

        Entry entry;
        entry.name = name;
        Node& node = entry.node;
        node.size = inode.getSize();
        node.mtime = inode.getModificationTime();
        node.ctime = inode.getCreationTime();

        const auto attributes = inode.getAttributes();
        switch (attributes.which()) {
            case wire::Inode::Attributes::DIR:
                // Mode, owner and times of a folder come from its own record.
                node.mode = 0040000U;
                entry.folder_key = view(attributes.getDir().getKey());
                return entry;
            case wire::Inode::Attributes::FILE:
                node.mode = 0100000U;
                TRY_DO(read_blocks(attributes.getFile().getBlocks(), node));
                break;
            case wire::Inode::Attributes::LINK:
                node.mode = 0120000U;
                TRY_DO(read_target(view(attributes.getLink().getTarget()), node));
                break;
            case wire::Inode::Attributes::SPECIAL:
                TRY_DO(read_special(attributes.getSpecial(), node));
                break;
            default:
                return fail(Errc::corrupt, "this kind of entry is not known");
        }
        TRY(entry.acl, acl_of(view(inode.getAclkey())));
        node.mode |= entry.acl.mode;
        return entry;
    }

    Result<> read_blocks(capnp::List<wire::FileBlock>::Reader blocks, Node& node)
    {
        const auto needed = chunks_of(node.size);
        const std::uint64_t given = blocks.size();
        const bool rounded_away = given + 1 == needed && node.size > float_rounds_from;
        if (given != needed && !rounded_away)
            return fail(
                Errc::corrupt,
                "a file of " + std::to_string(node.size) + " bytes needs " +
                    std::to_string(needed) + " blocks, the flist names " + std::to_string(given));
        const auto known = parts_.refs.size() / parts_.ref_size / 2;
        if (given > limits_.blocks - known)
            return fail(Errc::exhausted, "more than " + std::to_string(limits_.blocks) + " blocks");

        node.first = static_cast<std::uint32_t>(known);
        node.count = static_cast<std::uint32_t>(given);
        for (const auto block : blocks) {
            const auto id = view(block.getHash());
            const auto key = view(block.getKey());
            if (id.size() != parts_.ref_size || key.size() != parts_.ref_size)
                return fail(Errc::corrupt, "a block's id or key has not 16 bytes");
            parts_.refs.append(id).append(key);
        }
        return {};
    }

    Result<> read_target(std::string_view target, Node& node)
    {
        if (target.empty() || target.size() > target_limit ||
            target.find('\0') != std::string_view::npos)
            return fail(Errc::corrupt, "a link's target has 1 to 4095 bytes without a zero");
        node.size = target.size();
        node.count = static_cast<std::uint32_t>(target.size());
        TRY(node.first, keep_text(target));
        return {};
    }

    static Result<> read_special(wire::Special::Reader special, Node& node)
    {
        node.size = 0;
        using Type = wire::Special::Type;
        switch (special.getType()) {
            case Type::BLOCK:
                node.mode = 0060000U;
                break;
            case Type::CHARDEV:
                node.mode = 0020000U;
                break;
            case Type::FIFOPIPE:
                node.mode = 0010000U;
                return {};
            default:
                node.mode = 0140000U;
                return {};  // The original writes 0 for all of them.
        }
        const auto numbers = split(view(special.getData()), ',');
        const auto number = [&](std::size_t at) {
            return numbers.size() == 2 ? to_number<std::uint32_t>(numbers[at]) : std::nullopt;
        };
        const auto major = number(0);
        const auto minor = number(1);
        if (!major || !minor || *major > 0xFFFU || *minor > 0xFFFFFU)
            return fail(Errc::corrupt, "a device needs MAJOR,MINOR");
        node.major = *major;
        node.minor = *minor;
        return {};
    }

    Result<Acl> acl_of(std::string_view key)
    {
        if (const auto known = acls_.find(std::string{key}); known != acls_.end())
            return known->second;

        TRY(const auto record, database_.entry(key));
        if (!record)
            return fail(
                Errc::corrupt, "the record of its owner, " + printable(key) + ", is missing");
        if (record->size() % sizeof(capnp::word) != 0 || record->empty())
            return fail(Errc::corrupt, "the record of its owner is cut off");
        const auto words = words_of(*record);
        capnp::FlatArrayMessageReader message{
            kj::arrayPtr(words.data(), words.size()), reader_options()};
        const auto aci = message.getRoot<wire::ACI>();

        Acl acl;
        acl.mode = aci.getMode() & 07777U;  // Type bits too, before 2020.
        const auto uid = owner(aci.getUid(), view(aci.getUname()));
        const auto gid = owner(aci.getGid(), view(aci.getGname()));
        acl.uid = uid.value_or(nobody);
        acl.gid = gid.value_or(nobody);
        if (!uid) {
            TRY(acl.user, keep_owner_name(view(aci.getUname())));
        }
        if (!gid) {
            TRY(acl.group, keep_owner_name(view(aci.getGname())));
        }
        acls_.emplace(std::string{key}, acl);
        return acl;
    }

    void set_owner(Index index, Node& node, const Acl& acl)
    {
        node.uid = acl.uid;
        node.gid = acl.gid;
        // A folder met in its parent has no owner yet; it comes here again with its own record.
        if (acl.user != 0 || acl.group != 0)
            parts_.named_owners.push_back({index, acl.user, acl.group});
    }

    /// Each name once, however many entries and records have it.
    Result<std::uint32_t> keep_owner_name(std::string_view name)
    {
        if (name.empty()) return 0U;
        if (name.size() > owner_limit)
            return fail(Errc::corrupt, "names of owners may have 256 bytes at most");
        const auto number = static_cast<std::uint32_t>(parts_.owner_names.size());
        const auto [known, is_new] = owner_numbers_.try_emplace(std::string{name}, number);
        if (!is_new) return known->second;
        owner_bytes_ += name.size();
        if (owner_bytes_ > limits_.text_bytes)
            return fail(
                Errc::exhausted,
                "names of owners take more than " + format_size(limits_.text_bytes));
        parts_.owner_names.emplace_back(name);
        return number;
    }

    Result<std::uint32_t> keep_text(std::string_view text)
    {
        if (text.size() > limits_.text_bytes - parts_.text.size())
            return fail(Errc::exhausted, "names take more than " + format_size(limits_.text_bytes));
        const auto offset = static_cast<std::uint32_t>(parts_.text.size());
        parts_.text.append(text);
        return offset;
    }

    std::string path(Index index) const
    {
        std::string path;
        for (; index != 0 && path.size() < 4096; index = parts_.nodes[index].parent) {
            const Node& node = parts_.nodes[index];
            path.insert(0, "/" + parts_.text.substr(node.name_offset, node.name_length));
        }
        return path.empty() ? "/" : path;
    }

    Database database_;
    Limits limits_;
    TreeParts parts_;
    std::deque<Pending> pending_;
    std::unordered_set<std::string> seen_;
    std::unordered_map<std::string, Acl> acls_;
    std::unordered_map<std::string, std::uint32_t> owner_numbers_;
    std::uint64_t owner_bytes_ = 0;
};

}  // namespace

Result<Tree> read_flist(std::string_view bytes, const Limits& limits)
{
    TRY(auto unpacked, unpack_database(bytes, limits));
    TRY(auto database, Database::open(std::move(unpacked)));
    return Reading{std::move(database), limits}.run();
}

Result<Tree> read_flist(const std::filesystem::path& file, const Limits& limits)
{
    TRY(const auto bytes, kernel::read_file(file, limits.file_bytes));
    auto tree = read_flist(std::string_view{bytes}, limits);
    if (!tree) return tl::unexpected(std::move(tree).error().during(file.string()));
    return tree;
}

}  // namespace znode::flist
