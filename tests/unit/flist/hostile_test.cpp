#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/hex.hpp"
#include "database_writer.hpp"
#include "flist/block.hpp"
#include "flist/owners.hpp"
#include "flist/reader.hpp"
#include "memory_store.hpp"
#include "wire.hpp"

namespace znode::flist {
namespace {

using testing::HasSubstr;

/// A flist made record by record, with one entry in its root that a test may make wrong.
class Forgery {
public:
    using Change = std::function<void(wire::Inode::Builder)>;

    Forgery()
    {
        capnp::MallocMessageBuilder message;
        auto aci = message.initRoot<wire::ACI>();
        aci.setUname("root");
        aci.setGname("root");
        aci.setMode(0644);
        aci.setUid(0);
        aci.setGid(0);
        keep(acl, message);
    }

    Forgery& folder(const std::string& key, const std::vector<Change>& entries)
    {
        capnp::MallocMessageBuilder message;
        auto dir = message.initRoot<wire::Dir>();
        dir.setAclkey(acl.c_str());
        auto contents = dir.initContents(static_cast<capnp::uint>(entries.size()));
        for (capnp::uint i = 0; i < contents.size(); ++i) {
            contents[i].setName("entry");
            contents[i].setAclkey(acl.c_str());
            contents[i].getAttributes().initFile();
            entries[i](contents[i]);
        }
        keep(key, message);
        return *this;
    }

    void keep(const std::string& key, capnp::MallocMessageBuilder& message)
    {
        const auto words = capnp::messageToFlatArray(message);
        const auto bytes = words.asBytes();
        records[key].assign(reinterpret_cast<const char*>(bytes.begin()), bytes.size());
    }

    Result<Tree> read() const
    {
        const auto flist = wrap_database(write_database(records, {}).value()).value();
        return read_flist(std::string_view{flist});
    }
    std::string message() const
    {
        const auto tree = read();
        return tree ? "it was read" : tree.error().message;
    }

    static inline const std::string root = "cae66941d9efbd404e4d88758ea67670";
    static inline const std::string acl = "d7683de000c13689";
    std::map<std::string, std::string> records;
};

std::string message_of(const Forgery::Change& change)
{
    return Forgery{}.folder(Forgery::root, {change}).message();
}

TEST(HostileTest, AForgeryWithoutALieIsRead)
{
    EXPECT_EQ(message_of([](auto) {}), "it was read");
}

TEST(HostileTest, NamesThatLeadElsewhereAreRefused)
{
    for (const char* name : {"", ".", "..", "../up", "a/b", "/etc/passwd"})
        EXPECT_THAT(message_of([&](auto entry) { entry.setName(name); }), HasSubstr("no name"));
    const std::string zero{"a\0b", 3};
    EXPECT_THAT(
        message_of([&](auto entry) { entry.setName({zero.c_str(), zero.size()}); }),
        HasSubstr("no name"));
    const std::string longer(256, 'x');
    EXPECT_THAT(
        message_of([&](auto entry) { entry.setName(longer.c_str()); }), HasSubstr("255 bytes"));
}

TEST(HostileTest, TwoEntriesOfOneNameAreRefused)
{
    EXPECT_THAT(
        Forgery{}.folder(Forgery::root, {[](auto) {}, [](auto) {}}).message(),
        HasSubstr("two entries are named entry"));
}

TEST(HostileTest, SizesThatDoNotFitTheBlocksAreRefused)
{
    EXPECT_THAT(
        message_of([](auto entry) { entry.setSize(1); }),
        HasSubstr("a file of 1 bytes needs 1 blocks, the flist names 0"));
    EXPECT_THAT(
        message_of([](auto entry) { entry.setSize(~std::uint64_t{0}); }), HasSubstr("needs"));
    EXPECT_THAT(
        message_of([](auto entry) { entry.getAttributes().initFile().initBlocks(1); }),
        HasSubstr("a file of 0 bytes needs 0 blocks, the flist names 1"));
    EXPECT_THAT(
        message_of([](auto entry) {
            entry.setSize(1);
            entry.getAttributes().initFile().initBlocks(1);
        }),
        HasSubstr("16 bytes"));
}

TEST(HostileTest, LinksAndDevicesWithoutSenseAreRefused)
{
    EXPECT_THAT(
        message_of([](auto entry) { entry.getAttributes().initLink(); }), HasSubstr("target"));
    const std::string longer(4096, 'x');
    EXPECT_THAT(
        message_of([&](auto entry) { entry.getAttributes().initLink().setTarget(longer.c_str()); }),
        HasSubstr("target"));
    EXPECT_THAT(
        message_of([](auto entry) {
            entry.getAttributes().initSpecial().setType(wire::Special::Type::BLOCK);
        }),
        HasSubstr("MAJOR,MINOR"));
}

TEST(HostileTest, MissingRecordsAreNamedWithTheirFolder)
{
    EXPECT_THAT(
        message_of([](auto entry) { entry.getAttributes().initDir().setKey("abcd"); }),
        testing::AllOf(HasSubstr("folder /entry"), HasSubstr("abcd is missing")));
    EXPECT_THAT(
        message_of([](auto entry) { entry.setAclkey("beef"); }), HasSubstr("beef, is missing"));
    EXPECT_THAT(Forgery{}.message(), HasSubstr("folder /"));
}

TEST(HostileTest, AFolderInsideOfItselfIsALoop)
{
    EXPECT_THAT(
        message_of(
            [](auto entry) { entry.getAttributes().initDir().setKey(Forgery::root.c_str()); }),
        HasSubstr("a loop"));
}

TEST(HostileTest, ARecordThatIsNoRecordIsRefused)
{
    Forgery cut;
    cut.folder(Forgery::root, {[](auto) {}});
    cut.records[Forgery::root].resize(cut.records[Forgery::root].size() / 16 * 8);
    EXPECT_THAT(cut.message(), HasSubstr("makes no sense"));

    Forgery odd;
    odd.records[Forgery::root] = "seven b";
    EXPECT_THAT(odd.message(), HasSubstr("cut off"));

    Forgery huge;  // Says that it has four billion segments.
    huge.records[Forgery::root] = std::string(64, '\xff');
    EXPECT_THAT(huge.message(), HasSubstr("makes no sense"));
}

TEST(HostileTest, ADatabaseWithAViewInPlaceOfATableIsRefused)
{
    // What write_database makes, with the table's definition turned into that of a view.
    auto database = write_database({}, {}).value();
    const auto at = database.find("tableentriesentries");
    ASSERT_NE(at, std::string::npos);
    database.replace(at, 5, "vieww");

    const auto flist = wrap_database(database).value();
    const auto tree = read_flist(std::string_view{flist});

    ASSERT_FALSE(tree);
    EXPECT_EQ(tree.error().code, Errc::corrupt) << tree.error().message;
}

TEST(HostileTest, NamesOfOwnersAreShortAndKeptOnce)
{
    const auto with_owner = [](const std::string& name) {
        Forgery flist;
        capnp::MallocMessageBuilder message;
        auto aci = message.initRoot<wire::ACI>();
        aci.setUname(name.c_str());
        aci.setGname(name.c_str());
        flist.keep("feed", message);
        const auto owned = [](const char* entry_name) {
            return [entry_name](auto entry) {
                entry.setName(entry_name);
                entry.setAclkey("feed");
            };
        };
        flist.folder(Forgery::root, {owned("a"), owned("b"), owned("c")});
        return flist;
    };

    EXPECT_THAT(with_owner(std::string(257, 'x')).message(), HasSubstr("256 bytes"));
    const auto tree = with_owner(std::string(256, 'x')).read();
    ASSERT_TRUE(tree) << tree.error().message;
    ASSERT_EQ(tree->named_owners().size(), 3U);
    for (const auto& owner : tree->named_owners()) {
        EXPECT_EQ(owner.user, 1U);
        EXPECT_EQ(owner.group, 1U);
    }
    EXPECT_EQ(tree->owner_name(1), std::string(256, 'x'));
}

TEST(HostileTest, OwnersKnownByNameMeanWhatTheTreeItselfSays)
{
    const auto passwd = encode_block("web:x:33:34::/:/bin/sh\n");
    Forgery old;
    capnp::MallocMessageBuilder message;
    auto aci = message.initRoot<wire::ACI>();
    aci.setUname("web");
    aci.setGname("unheard of");
    aci.setMode(0100640);
    old.keep("feed", message);
    old.folder(
        Forgery::root,
        {[](auto entry) {
             entry.setName("etc");
             entry.getAttributes().initDir().setKey("e7c0");
         },
         [](auto entry) {
             entry.setName("page");
             entry.setAclkey("feed");
         }});
    old.folder("e7c0", {[&](auto entry) {
                   entry.setName("passwd");
                   entry.setSize(23);
                   auto block = entry.getAttributes().initFile().initBlocks(1)[0];
                   const auto data = [](const std::string& bytes) {
                       return capnp::Data::Reader{
                           reinterpret_cast<const kj::byte*>(bytes.data()), bytes.size()};
                   };
                   block.setHash(data(passwd.id));
                   block.setKey(data(passwd.key));
               }});
    auto tree = old.read();
    ASSERT_TRUE(tree) << tree.error().message;
    test::MemoryStore store;
    store.blocks[passwd.id] = passwd.stored;
    Content content{*tree, store, nullptr, silent_log()};

    ASSERT_TRUE(resolve_owners(*tree, content));

    const Node& page = (*tree)[tree->find("/page").value()];
    EXPECT_EQ(page.uid, 33U);
    EXPECT_EQ(page.gid, 65534U);
    EXPECT_EQ(page.mode, 0100640U);
}

}  // namespace
}  // namespace znode::flist
