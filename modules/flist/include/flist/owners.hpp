#pragma once

#include "base/result.hpp"
#include "flist/content.hpp"
#include "flist/tree.hpp"

namespace znode::flist {

/// Flists from before August 2020 know some owners by name only. The names mean what the tree's own
/// /etc/passwd and /etc/group say, never what the node's say; a name that they do not have stays
/// with nobody (65534). Reads two files, and only where there is such an owner; before the tree is
/// shared with other threads.
Result<> resolve_owners(Tree& tree, Content& content);

}  // namespace znode::flist
