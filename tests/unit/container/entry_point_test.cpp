#include "container/entry_point.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace znode::container {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

TEST(EntryPointTest, WordsAreSplitAsAShellDoes)
{
    EXPECT_THAT(*split_words("/startup.sh"), ElementsAre("/startup.sh"));
    EXPECT_THAT(*split_words("  /bin/sh\t-c 'a  b' "), ElementsAre("/bin/sh", "-c", "a  b"));
    EXPECT_THAT(*split_words(R"(a"b c"d e\ f)"), ElementsAre("ab cd", "e f"));
    EXPECT_THAT(*split_words(R"("a\"b\\c\n")"), ElementsAre(R"(a"b\c\n)"));
    EXPECT_THAT(*split_words("a '' b"), ElementsAre("a", "", "b"));
    EXPECT_THAT(*split_words("a b # not this"), ElementsAre("a", "b"));
    EXPECT_THAT(*split_words("a b#c"), ElementsAre("a", "b#c"));
    EXPECT_THAT(*split_words("echo $HOME *"), ElementsAre("echo", "$HOME", "*"));
}

TEST(EntryPointTest, WhatIsNoCommandIsRefused)
{
    for (const auto* text : {"", "   ", "# only", "'open", "\"open", "end\\", "'' a"})
        EXPECT_EQ(split_words(text).error().code, Errc::invalid) << text;
}

TEST(StartupTest, EntryIsRead)
{
    const auto startup = parse_startup(R"(
[startup.entry]
name = "core.system"
[startup.entry.args]
name = "/bin/web"
dir = "/srv"
args = ["-p", "80"]
[startup.entry.args.env]
A = "1"
B = 2
)");

    ASSERT_TRUE(startup);
    EXPECT_THAT(startup->argv, ElementsAre("/bin/web", "-p", "80"));
    EXPECT_EQ(startup->folder, "/srv");
    EXPECT_THAT(startup->environment, ElementsAre(Pair("A", "1")));
}

TEST(StartupTest, OtherEntriesAreNotOurs)
{
    EXPECT_TRUE(parse_startup("")->argv.empty());
    // Tables nested that deep would end the process.
    std::string deep = "a";
    for (int i = 0; i < 32'000; ++i) deep += ".a";
    EXPECT_EQ(parse_startup(deep + " = 1").error().code, Errc::invalid);
    EXPECT_EQ(parse_startup(std::string(100'000, '#')).error().code, Errc::invalid);
    EXPECT_TRUE(
        parse_startup("[startup.entry]\nname = \"core.other\"\nargs.name = \"/x\"")->argv.empty());
    EXPECT_EQ(parse_startup("a = \n b").error().code, Errc::invalid);
}

TEST(ProgramTest, CustomerWinsOverRoot)
{
    const Startup startup{{"/root-says"}, "/srv", {{"A", "root"}, {"B", "root"}}};

    const auto program = choose_program("/mine x", "", {{"A", "mine"}}, startup);

    ASSERT_TRUE(program);
    EXPECT_THAT(program->argv, ElementsAre("/mine", "x"));
    EXPECT_EQ(program->folder, "/srv");
    EXPECT_EQ(program->environment.at("A"), "mine");
    EXPECT_EQ(program->environment.at("B"), "root");
    EXPECT_THAT(program->environment.at("PATH"), HasSubstr("/usr/bin"));
}

TEST(ProgramTest, RootDecidesWhenCustomerDoesNot)
{
    const auto program = choose_program("", "", {}, Startup{{"/root-says"}, "", {}});

    ASSERT_TRUE(program);
    EXPECT_THAT(program->argv, ElementsAre("/root-says"));
    EXPECT_EQ(program->folder, "/");
}

TEST(ProgramTest, NothingToRunIsRefused)
{
    EXPECT_EQ(choose_program("", "", {}, {}).error().code, Errc::invalid);
    EXPECT_EQ(choose_program("a", "", {{"A=B", "x"}}, {}).error().code, Errc::invalid);
}

}  // namespace
}  // namespace znode::container
