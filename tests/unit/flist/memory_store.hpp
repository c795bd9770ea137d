#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "flist/store.hpp"

namespace znode::flist::test {

/// A store in memory that can be told to fail, with a diary of what it was asked for.
class MemoryStore : public BlockStore {
public:
    Result<std::string> get(std::string_view id) override
    {
        const std::lock_guard lock{mutex};
        asked.emplace_back(id);
        if (failures > 0) {
            --failures;
            return fail(Errc::unavailable, "the store is away");
        }
        if (lies > 0) {
            --lies;
            return std::string{"these are not the bytes"};
        }
        const auto found = blocks.find(std::string{id});
        if (found == blocks.end()) return fail(Errc::not_found, "no such block");
        return found->second;
    }
    Result<> put(std::string_view id, std::string_view stored) override
    {
        const std::lock_guard lock{mutex};
        blocks[std::string{id}] = stored;
        return {};
    }
    Result<bool> has(std::string_view id) override
    {
        const std::lock_guard lock{mutex};
        return blocks.contains(std::string{id});
    }
    std::string text() const override { return "memory"; }

    std::mutex mutex;
    std::map<std::string, std::string> blocks;
    std::vector<std::string> asked;
    int failures = 0;
    int lies = 0;
};

}  // namespace znode::flist::test
