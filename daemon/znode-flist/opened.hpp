#pragma once

#include <memory>

#include "commands.hpp"
#include "flist/content.hpp"
#include "flist/reader.hpp"
#include "flist/store.hpp"

namespace znode::flist {

/// A flist with its bytes at hand.
struct Opened {
    std::unique_ptr<Tree> tree;
    std::unique_ptr<BlockStore> store;
    std::unique_ptr<BlockCache> cache;  ///< Null without a cache.
    std::unique_ptr<Content> content;
};

Result<std::unique_ptr<Opened>> open_all(
    const std::string& flist, const Source& source, const Log& log);

}  // namespace znode::flist
