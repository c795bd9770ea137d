#include "golden.hpp"

namespace znode::zdb {

void GoldenTest::basic()
{
    ask_all(
        {{"PING"},
         {"PING", "x"},
         {"TIME"},
         {"DBSIZE"},
         {"NSLIST"},
         {"INFO"},
         {"QUIT"},
         {"COMMAND"},
         {"ECHO", "x"},
         {"STOP"},
         {"HOOKS"},
         {"*"},
         {""},
         {"P"},
         {"gEt", "zz"},
         {"EXIST", "zz"},
         {"N"},
         {"KSCAN", "k"},
         {"KSCAN"}});
}

void GoldenTest::values()
{
    ask_all(
        {{"SET", "", "v0"},
         {"SET", "", "v1"},
         {"SET", key(0), "v0"},
         {"SET", key(0), "v0"},
         {"SET", key(0), "v0bis"},
         {"SET", key(5), "x"},
         {"SETX", key(1), "val1"},
         {"SET", "", "v2"},
         {"SET", "", ""},
         {"SET", key(3), ""},
         {"GET", key(3)},
         {"SET", "a"},
         {"SET", "a", "b", "c", "d"},
         {"SET"},
         {"SET", k255, "v"},
         {"SET", k256, "v"}});
    for (std::uint64_t n = 0; n < 8; ++n) ask({"GET", key(n)});
    ask_all(
        {{"GET"},
         {"GET", ""},
         {"GET", "a", "b"},
         {"GET", k255},
         {"GET", k256},
         {"GET", "short"},
         {"GET", std::string(4, '\0')},
         {"MGET", key(0), key(1), "nope"},
         {"MGET"},
         {"MGET", k256},
         {"MGET", ""},
         {"EXISTS", key(0)},
         {"EXISTS", "nope"},
         {"EXISTS"},
         {"EXISTS", ""},
         {"EXISTS", k256},
         {"EXISTS", "a", "b"},
         {"CHECK", key(0)},
         {"CHECK", "nope"},
         {"CHECK"},
         {"CHECK", k256},
         {"LENGTH", key(0)},
         {"LENGTH", "nope"},
         {"LENGTH"},
         {"KEYTIME", key(0)},
         {"KEYTIME", "nope"},
         {"SET", key(0), "tsval", "1234567"},
         {"KEYTIME", key(0)},
         {"SET", key(0), "tsval2", "notanumber"},
         {"KEYTIME", key(0)}});
    auto reply = ask({"HISTORY", key(0)});
    for (int i = 0; i < 3; ++i) reply = ask({"HISTORY", key(0), bulk_of(reply)});
    ask_all(
        {{"HISTORY", key(0), eight_zeros},
         {"HISTORY", key(0), "short"},
         {"HISTORY", "nope"},
         {"HISTORY"},
         {"HISTORY", key(1), ref(0, 29)},
         {"HISTORY", key(0), ref(9, 29)}});
}

void GoldenTest::walks()
{
    ask({"SCAN", bulk_of(ask({"SCAN"}))});
    ask({"RSCAN", bulk_of(ask({"RSCAN"}))});
    cursor_ = bulk_of(ask({"KEYCUR", key(0)}));
    ask_all(
        {{"SCANX", cursor_},
         {"RSCAN", cursor_},
         {"SCAN", "bad"},
         {"SCAN", std::string(17, '\1')},
         {"KEYCUR", "nope"},
         {"KEYCUR"}});
}

void GoldenTest::deletions()
{
    ask_all(
        {{"DBSIZE"},
         {"DEL", key(0)},
         {"DEL", key(0)},
         {"GET", key(0)},
         {"SET", key(0), "again"},
         {"HISTORY", key(0)},
         {"DEL", "nope"},
         {"DEL"},
         {"DEL", ""},
         {"DEL", k256},
         {"DEL", key(1), "1111"},
         {"DBSIZE"},
         {"SCAN", cursor_},
         {"INDEX"},
         {"INDEX", "DIRTY"},
         {"INDEX", "DIRTY", "RESET"},
         {"INDEX", "DIRTY"},
         {"INDEX", "DIRTY", "x"},
         {"INDEX", "x"},
         {"DATA"},
         {"DATA", "RAW"},
         {"DATA", "RAW", "0", "28"},
         {"DATA", "RAW", "0", "99999"},
         {"DATA", "RAW", "7", "28"},
         {"DATA", "x"}});
}

void GoldenTest::namespaces()
{
    const std::string n128(128, 'n');
    const std::string n129(129, 'n');
    ask_all(
        {{"NSINFO", "default"},
         {"NSNEW", "ns1"},
         {"NSNEW", "ns1"},
         {"NSNEW"},
         {"NSNEW", ""},
         {"NSNEW", "default"},
         {"NSNEW", "."},
         {"NSNEW", ".."},
         {"NSNEW", "a/b"},
         {"NSNEW", n128},
         {"NSNEW", n129},
         {"NSDEL", n128},
         {"NSINFO", "ns1"},
         {"NSINFO", "nope"},
         {"NSINFO"},
         {"NSINFO", n129},
         {"NSLIST"},
         {"NSSET"},
         {"NSSET", "ns1", "maxsize"},
         {"NSSET", "nope", "maxsize", "1"},
         {"NSSET", "ns1", "bogus", "1"},
         {"NSSET", "ns1", "MAXSIZE", "1"},
         {"NSSET", "default", "maxsize", "1"},
         {"NSSET", "default", "bogus", "1"},
         {"NSSET", "ns1", "password", std::string(64, 'p')},
         {"NSSET", "ns1", std::string(257, 'q'), "1"},
         {"NSSET", "ns1", "maxsize", ""},
         {"NSSET", "ns1", "mode", "foo"},
         {"NSSET", "ns1", "mode", "seq"},
         {"NSSET", "ns1", "mode", "user"},
         {"SELECT"},
         {"SELECT", "nope"},
         {"SELECT", ""},
         {"SELECT", n129},
         {"SELECT", "ns1"},
         {"SELECT", "ns1", "anything"}});
}

void GoldenTest::limits()
{
    const std::string first = sequential_ ? key(0) : "a";
    const auto maxsize = [](const char* value) { return Words{"NSSET", "ns1", "maxsize", value}; };
    ask_all(
        {maxsize("10"),
         {"SET", fresh("a"), "12345"},
         {"SET", fresh("b"), "12345"},
         {"SET", fresh("c"), "1"},
         {"SET", first, "54321"},
         {"SET", first, "1"},
         {"SET", fresh("c"), "1234"},
         {"SET", first, "123456"},
         {"NSINFO", "ns1"},
         maxsize("5"),
         {"NSINFO", "ns1"},
         {"DEL", first},
         maxsize("0"),
         maxsize("abc"),
         maxsize("-1"),
         {"NSINFO", "ns1"},
         maxsize("0"),
         {"NSSET", "ns1", "mode", "user"}});
}

void GoldenTest::locks()
{
    const std::string second = sequential_ ? key(1) : "b";
    const auto flag = [](const char* name, const char* value) {
        return Words{"NSSET", "ns1", name, value};
    };
    ask_all(
        {flag("worm", "1"),
         {"SET", second, "zz"},
         {"SET", second, "12345"},
         {"DEL", second},
         {"DEL", "nope"},
         {"SET", fresh("w"), "new"},
         flag("worm", "0"),
         flag("lock", "1"),
         {"GET", second},
         {"SET", second, "zz"},
         {"DEL", second},
         {"NSINFO", "ns1"},
         flag("freeze", "1"),
         {"GET", second},
         {"SET", second, "v"},
         {"DEL", second},
         {"EXISTS", second},
         {"CHECK", second},
         {"SCAN"},
         {"RSCAN"},
         {"KEYCUR", second},
         {"HISTORY", second},
         {"LENGTH", second},
         {"KEYTIME", second},
         {"MGET", second},
         {"DBSIZE"},
         {"NSINFO", "ns1"},
         flag("freeze", "0"),
         flag("lock", "1"),
         flag("freeze", "0"),
         {"SET", second, "zz"}});
}

void GoldenTest::passwords()
{
    const std::string second = sequential_ ? key(1) : "b";
    const std::string forty_zeros(40, '0');
    other_ = connect();
    ask_all({{"FLUSH"}, {"NSSET", "ns1", "password", "secret"}, {"FLUSH"}});
    for (const Words& words : std::vector<Words>{
             {"SELECT", "ns1"},
             {"SET", second, "q"},
             {"DEL", second},
             {"GET", second},
             {"SELECT", "ns1", "bad"},
             {"SELECT", "ns1", "secret"},
             {"SET", second, "q"},
             {"SELECT", "ns1", "x", "y", "z"},
             {"SELECT", "ns1", std::string(256, 'x')}})
        ask(*other_, words);
    ask({"NSSET", "ns1", "public", "0"});
    other_ = connect();
    ask(*other_, {"SELECT", "ns1"});
    ask(*other_, {"SELECT", "ns1", ""});
    ask(*other_, {"SELECT", "ns1", "SECURE", forty_zeros});
    ask(*other_, {"SELECT", "ns1", "FOO", forty_zeros});
    const auto challenge = other_->ask({"AUTH", "SECURE", "CHALLENGE"}).substr(1, 16);
    ask(*other_, {"SELECT", "ns1", "SECURE", "short"});
    ask(*other_, {"SELECT", "ns1", "SECURE", forty_zeros});
    const auto right = answer(challenge, "secret");
    EXPECT_EQ(other_->ask({"SELECT", "ns1", "SECURE", right}), "+OK\r\n");
    EXPECT_EQ(
        other_->ask({"SELECT", "ns1", "SECURE", right}),
        "-No CHALLENGE requested, secure authentication not available\r\n");
    ask(*other_, {"NSINFO", "ns1"});
    ask_all(
        {{"SELECT", "ns1", "secret"},
         {"NSSET", "ns1", "password", "*"},
         {"NSSET", "ns1", "public", "yes"},
         {"NSINFO", "ns1"},
         {"FLUSH"}});
}

void GoldenTest::removal()
{
    ask_all(
        {{"NSDEL", "ns1"},
         {"NSDEL", "default"},
         {"NSDEL", "nope"},
         {"NSDEL"},
         {"SELECT", "default"},
         {"NSDEL", "ns1"}});
    ask(*other_, {"PING"});
    ask(*other_, {"PING"});
    ask_all(
        {{"NSLIST"},
         {"NSJUMP"},
         {"SET", fresh("j1"), "afterjump"},
         {"RELOAD", "default"},
         {"RELOAD"},
         {"RELOAD", "nope"},
         {"DBSIZE"},
         {"SCAN"},
         {"RSCAN"}});
}

void GoldenTest::waiting()
{
    ask_all(
        {{"WAIT"},
         {"WAIT", "bogus"},
         {"WAIT", "SET", "99"},
         {"WAIT", "SET", "1800001"},
         {"WAIT", "SET", "100"},
         {"WAIT", "SET", std::string(17, 'x')},
         {"WAIT", "SET", "100", "1"}});
    const auto third = connect();
    ASSERT_TRUE(main_->send(Talk::encode({"WAIT", "SET", "20000"})));
    ask(*third, {"PING"});
    ask(*third, {"GET", "zz"});
    ask(*third, {"SETX", fresh("wx"), "1"});
    ask(*third, {"SET", fresh("wx"), "2"});
    EXPECT_EQ(main_->raw_reply(), "+SET\r\n");
    ASSERT_TRUE(main_->send(Talk::encode({"WAIT", "*", "20000"})));
    ask(*third, {"PING"});
    // The server may have answered that one before it looked at the first connection.
    ASSERT_TRUE(third->send(Talk::encode({"PING"})));
    EXPECT_FALSE(third->raw_reply().empty());
    EXPECT_EQ(main_->raw_reply(), "+PING\r\n");
    ask_all({{"AUTH", "x"}, {"AUTH", "SECURE", "x"}, {"AUTH", "a", "b"}, {"AUTH"}, {"MASTER"}});
    main_ = connect();
    ask({"MIRROR"});
}

void GoldenTest::administration()
{
    const std::string forty_zeros(40, '0');
    ask_all(
        {{"NSNEW", "x"},
         {"NSDEL", "x"},
         {"NSSET", "x", "maxsize", "1"},
         {"NSJUMP"},
         {"RELOAD", "default"},
         {"HOOKS"},
         {"INDEX", "DIRTY"},
         {"DATA", "RAW", "0", "28"},
         {"MIRROR"},
         {"MASTER"},
         {"SET", "a", "b", "123"},
         {"DEL", "a", "123"},
         {"PING"},
         {"TIME"},
         {"INFO"},
         {"NSLIST"},
         {"NSINFO", "default"},
         {"DBSIZE"},
         {"SET", "a", "b"},
         {"GET", "a"},
         {"DEL", "a"},
         {"FLUSH"},
         {"SELECT", "default"},
         {"STOP"},
         {"WAIT", "SET", "100"},
         {"SCAN"},
         {"HISTORY", "a"},
         {"AUTH"},
         {"AUTH", ""},
         {"AUTH", "bad"},
         {"AUTH", std::string(129, 'x')},
         {"AUTH", "SECURE", forty_zeros}});
    main_->ask({"AUTH", "SECURE", "CHALLENGE"});
    ask_all(
        {{"AUTH", "FOO", "x"},
         {"AUTH", "SECURE", "xx"},
         {"AUTH", "SECURE", forty_zeros},
         {"AUTH", "SECURE", forty_zeros}});
    const auto challenge = main_->ask({"AUTH", "SECURE", "CHALLENGE"}).substr(1, 16);
    EXPECT_EQ(main_->ask({"AUTH", "SECURE", answer(challenge, "root")}), "+OK\r\n");
    ask({"NSNEW", "x"});
    main_ = connect();
    ask_all(
        {{"AUTH", "root"},
         {"AUTH", "a", "b", "c"},
         {"NSDEL", "x"},
         {"NSINFO", "default"},
         {"SELECT", "default"},
         {"SET", "k", "v"},
         {"SELECT", "default", "root"},
         {"SET", "k", "v"}});
}

void GoldenTest::ask_everything()
{
    basic();
    values();
    walks();
    deletions();
    namespaces();
    limits();
    locks();
    passwords();
    removal();
    waiting();
    expect_end();
}

TEST_F(GoldenTest, UserMode)
{
    prepare("golden_user.txt", {});
    ASSERT_FALSE(HasFatalFailure());
    ask_everything();
}

TEST_F(GoldenTest, SequentialMode)
{
    prepare("golden_seq.txt", {"--mode", "seq"}, true);
    ASSERT_FALSE(HasFatalFailure());
    ask_everything();
}

TEST_F(GoldenTest, WithAnAdminPassword)
{
    prepare("golden_admin.txt", {"--admin", "root"});
    ASSERT_FALSE(HasFatalFailure());
    administration();
    expect_end();
}

TEST_F(GoldenTest, Protected)
{
    prepare("golden_protect.txt", {"--admin", "root", "--protect"});
    ASSERT_FALSE(HasFatalFailure());
    administration();
    expect_end();
}

}  // namespace znode::zdb
