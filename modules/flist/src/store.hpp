#pragma once

#include <optional>

#include "flist/store.hpp"

namespace znode::flist {

/// What `zdb://` and `redis://` say.
struct RedisAddress {
    bool zdb = false;  ///< The path is a namespace for SELECT NAME [PASSWORD]; else a number.
    std::string host;  ///< Or the path of a unix socket, when it starts with a slash.
    std::string port;
    Secret user;
    Secret password;
    std::string space;
    Reach reach = Reach::anywhere;
};

Result<RedisAddress> parse_redis_address(std::string_view url);

std::unique_ptr<BlockStore> make_redis_store(
    RedisAddress address, std::chrono::milliseconds patience);
std::unique_ptr<BlockStore> make_folder_store(std::string folder);

}  // namespace znode::flist
