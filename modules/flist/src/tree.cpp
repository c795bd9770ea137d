#include "flist/tree.hpp"

#include <algorithm>

namespace znode::flist {

Tree::Tree(TreeParts parts) : parts_{std::move(parts)}
{
    for (const Node& node : parts_.nodes)
        if (node.is_file()) content_bytes_ += node.size;
}

std::string_view Tree::target(const Node& node) const noexcept
{
    if (!node.is_link()) return {};
    return std::string_view{parts_.text}.substr(node.first, node.count);
}

std::optional<Index> Tree::child(const Node& folder, std::string_view name) const noexcept
{
    if (!folder.is_folder()) return std::nullopt;

    const Node* begin = parts_.nodes.data() + folder.first;
    const Node* end = begin + folder.count;
    const Node* found =
        std::lower_bound(begin, end, name, [&](const Node& node, std::string_view wanted) {
            return this->name(node) < wanted;
        });
    if (found == end || this->name(*found) != name) return std::nullopt;
    return static_cast<Index>(found - parts_.nodes.data());
}

std::optional<Index> Tree::find(std::string_view path) const noexcept
{
    Index at = 0;
    while (!path.empty()) {
        const auto slash = path.find('/');
        const auto part = path.substr(0, slash);
        path = slash == std::string_view::npos ? std::string_view{} : path.substr(slash + 1);
        if (part.empty() || part == ".") continue;

        const auto next = child(parts_.nodes[at], part);
        if (!next) return std::nullopt;
        at = *next;
    }
    return at;
}

std::string Tree::path(Index index) const
{
    if (index == 0) return "/";

    std::vector<Index> chain;
    for (; index != 0; index = parts_.nodes[index].parent) chain.push_back(index);
    std::string path;
    for (auto at = chain.rbegin(); at != chain.rend(); ++at) path.append("/").append(name(*at));
    return path;
}

BlockRef Tree::block(const Node& file, std::uint32_t number) const noexcept
{
    const auto width = parts_.ref_size;
    const auto pair = std::string_view{parts_.refs}.substr(
        (std::size_t{file.first} + number) * 2 * width, 2 * width);
    return {pair.substr(0, width), pair.substr(width)};
}

std::uint32_t Tree::links(const Node& node) const noexcept
{
    return node.is_folder() ? 2 + node.folders : 1;
}

void Tree::set_owner(
    Index index, std::optional<std::uint32_t> uid, std::optional<std::uint32_t> gid)
{
    if (uid) parts_.nodes[index].uid = *uid;
    if (gid) parts_.nodes[index].gid = *gid;
}

}  // namespace znode::flist
