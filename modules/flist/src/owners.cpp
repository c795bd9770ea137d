#include "flist/owners.hpp"

#include "base/text.hpp"

namespace znode::flist {
namespace {

constexpr std::uint64_t size_limit = std::uint64_t{4} << 20U;

using Numbers = std::map<std::string, std::uint32_t, std::less<>>;

/// Third field of each line by its first one; the form that both files share.
Result<Numbers> numbers_in(const Tree& tree, Content& content, const char* path)
{
    Numbers numbers;
    const auto index = tree.find(path);
    if (!index || !tree[*index].is_file() || tree[*index].size > size_limit) return numbers;

    std::string text;
    TRY_DO(content.read(tree[*index], [&](std::string_view piece) -> Result<> {
        text += piece;
        return {};
    }));
    for (const auto line : split(text, '\n')) {
        const auto fields = split(line, ':');
        if (fields.size() < 3) continue;
        if (const auto number = to_number<std::uint32_t>(fields[2]))
            numbers.emplace(fields[0], *number);
    }
    return numbers;
}

std::optional<std::uint32_t> find(const Numbers& numbers, const std::string& name)
{
    const auto found = numbers.find(name);
    if (name.empty() || found == numbers.end()) return std::nullopt;
    return found->second;
}

}  // namespace

Result<> resolve_owners(Tree& tree, Content& content)
{
    if (tree.named_owners().empty()) return {};

    TRY(const auto users, numbers_in(tree, content, "/etc/passwd"));
    TRY(const auto groups, numbers_in(tree, content, "/etc/group"));
    for (const auto& owner : tree.named_owners())
        tree.set_owner(
            owner.index,
            find(users, tree.owner_name(owner.user)),
            find(groups, tree.owner_name(owner.group)));
    return {};
}

}  // namespace znode::flist
