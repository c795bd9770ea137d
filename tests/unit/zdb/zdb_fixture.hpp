#pragma once

#include <fstream>
#include <map>

#include <gtest/gtest.h>

#include "kernel/files.hpp"
#include "temp_folder.hpp"
#include "zdb/engine.hpp"

namespace znode::zdb {

/// An engine in a folder of its own that can be closed, killed and opened again.
class EngineTest : public testing::Test {
protected:
    void open()
    {
        EngineConfig config = model;
        config.data = folder.path() / "data";
        config.index = folder.path() / "index";
        auto opened = open_engine(std::move(config), silent_log());
        ASSERT_TRUE(opened) << opened.error().message;
        engine = std::move(*opened);
    }
    /// As after kill -9: nothing is said or flushed, the kernel keeps what it was given.
    void kill_and_open()
    {
        engine.reset();
        open();
    }
    /// What the next start finds when the machine, and not only the server, went down.
    void lose_power()
    {
        engine.reset();
        const auto mark = folder.path() / "data" / "running";
        ASSERT_TRUE(kernel::write_file_atomically(mark, "another boot\n", 0600));
    }
    Space& space(std::string_view name = "default")
    {
        Space* found = engine->find(name);
        if (found == nullptr) found = *engine->create(name);
        return *found;
    }
    Space& ids()
    {
        Space& made = space("ids");
        if (made.settings().mode == Mode::user) {
            Settings settings = made.settings();
            settings.mode = Mode::sequential;
            EXPECT_TRUE(engine->configure(made, settings));
        }
        return made;
    }
    static std::string id(std::uint64_t number)
    {
        return {reinterpret_cast<const char*>(&number), sizeof number};
    }
    /// Stores and commits; the key it got.
    std::string put(Space& into, std::string_view key, std::string_view value)
    {
        std::string stored;
        EXPECT_EQ(into.set(key, value, 7, stored), SetOutcome::stored);
        EXPECT_TRUE(engine->commit().empty());
        return stored;
    }
    static std::string get(Space& from, std::string_view key)
    {
        const auto found = from.find(key);
        if (!found) return "(error)";
        if (!*found) return "(absent)";
        std::string value((*found)->length, '\0');
        if (!from.read(**found, value)) return "(corrupt)";
        return value;
    }
    std::filesystem::path segment(const Space& of, std::uint32_t number) const
    {
        return of.data_folder() / (std::to_string(number) + ".seg");
    }
    static void flip(const std::filesystem::path& file, std::uintmax_t offset)
    {
        std::fstream stream{file, std::ios::in | std::ios::out | std::ios::binary};
        stream.seekg(static_cast<std::streamoff>(offset));
        const auto byte = static_cast<char>(stream.get() ^ 0x10);
        stream.seekp(static_cast<std::streamoff>(offset));
        stream.put(byte);
    }

    test::TempFolder folder;
    EngineConfig model;
    std::unique_ptr<Engine> engine;
};

}  // namespace znode::zdb
