#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <sodium.h>

#include "base/hex.hpp"
#include "kernel/child.hpp"
#include "kernel/fd.hpp"
#include "kernel/files.hpp"
#include "kernel/mount.hpp"
#include "manifest.hpp"
#include "temp_folder.hpp"

namespace znode::flist::test {

inline const std::string program = ZNODE_BIN_DIR "/znode-flist";
inline const std::string sample_store = "dir://" + data + "small.blocks";

inline std::string sha256(std::string_view bytes)
{
    std::string digest(crypto_hash_sha256_BYTES, '\0');
    crypto_hash_sha256(
        reinterpret_cast<unsigned char*>(digest.data()),
        reinterpret_cast<const unsigned char*>(bytes.data()),
        bytes.size());
    return to_hex(digest);
}

/// Starts `znode-flist mount` and waits until it is ready. `more` are further arguments; `fuse`, if
/// given, becomes its descriptor 3.
inline kernel::Child start_mount(
    const std::string& flist,
    const std::string& folder,
    const std::string& store,
    std::vector<std::string> more = {},
    const kernel::Fd* fuse = nullptr)
{
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) < 0) throw std::runtime_error{"pipe"};
    const kernel::Fd ready{ends[0]};
    kernel::Fd server_end{ends[1]};
    kernel::ChildSpec spec;
    spec.argv = {
        program, "mount", flist, folder, "--foreground", "--store", store, "--ready-fd", "4"};
    spec.argv.insert(spec.argv.end(), more.begin(), more.end());
    spec.descriptors = {{.from = 2, .to = 2}, {.from = server_end.get(), .to = 4}};
    if (fuse != nullptr) {
        spec.argv.insert(spec.argv.end(), {"--fuse-fd", "3"});
        spec.descriptors.push_back({.from = fuse->get(), .to = 3});
    }
    auto child = kernel::Child::spawn(spec);
    if (!child) throw std::runtime_error{child.error().message};
    server_end.close();
    char word[8]{};
    if (::read(ready.get(), word, 6) != 6) throw std::runtime_error{"the server was never ready"};
    return *std::move(child);
}

inline void expect_nothing_mounted_below(const std::filesystem::path& folder)
{
    const auto mounts = kernel::read_mounts().value();
    for (const auto& mount : mounts)
        EXPECT_FALSE(mount.target.string().starts_with(folder.string())) << mount.target;
}

}  // namespace znode::flist::test
