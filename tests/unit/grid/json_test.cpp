#include "grid/json.hpp"

#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace znode::grid::json {
namespace {

using testing::HasSubstr;

std::string text_of(std::string_view source)
{
    const auto value = parse(source);
    EXPECT_TRUE(value) << value.error().message;
    return value ? value->text : "";
}
std::string error_of(std::string_view source, Limits limits = {})
{
    const auto value = parse(source, limits);
    EXPECT_FALSE(value) << source;
    return value ? "" : value.error().message;
}
std::string written(std::string_view characters)
{
    std::string out;
    append_string(out, characters);
    return out;
}
std::string written(double number)
{
    std::string out;
    append_number(out, number);
    return out;
}

TEST(JsonReaderTest, ValuesKnowTheirBytes)
{
    const auto value = parse(R"( {"a" : [1.50, 1e3] , "a":{"b" :null}} trailing)");

    ASSERT_TRUE(value) << value.error().message;
    ASSERT_EQ(value->members.size(), 2U);
    EXPECT_EQ(value->members[0].value.raw, "[1.50, 1e3]");
    EXPECT_EQ(value->members[0].value.items[0].raw, "1.50");
    EXPECT_EQ(value->find("A")->raw, R"({"b" :null})");
    EXPECT_EQ(value->find("c"), nullptr);
}

TEST(JsonReaderTest, EscapesAndInvalidBytesBecomeCharacters)
{
    EXPECT_EQ(text_of(R"("\"\\\/\b\f\n\r\t")"), "\"\\/\b\f\n\r\t");
    EXPECT_EQ(text_of(R"("\u00e9\u2603\ud83d\ude00")"), "é☃😀");
    EXPECT_EQ(text_of(R"("\ud83dx\ude00\ud83d\u0041")"), "\uFFFDx\uFFFD\uFFFDA");
    EXPECT_EQ(text_of("\"a\xFF\xC0\xAF\xED\xA0\x80\""), "a\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD");
    EXPECT_EQ(text_of("\"\xF0\x9F\x98\x80\""), "😀");
}

TEST(JsonReaderTest, WhatIsNotJsonIsNamed)
{
    EXPECT_EQ(error_of(""), "EOF");
    EXPECT_EQ(error_of("  \n"), "EOF");
    EXPECT_EQ(error_of("{\"a\":"), "unexpected end of JSON input");
    const std::vector<std::string> broken{
        "{",      "[",          "[1,]",  "{\"a\" 1}",   "{a:1}", "01x",           "-",   "1.",
        "1e",     "+1",         "nul",   "\"\\x\"",     "\"a",   "\"\\u12",       "{,}", "[1 2]",
        "\"\n\"", "{\"a\":1,}", "tru e", "\"\\u12g4\"", "]",     "\xEF\xBB\xBF{}"};
    for (const auto& source : broken) error_of(source, {.trailing = false});
    EXPECT_THAT(error_of("[1 2]", {.trailing = false}), HasSubstr("byte 3"));
    EXPECT_THAT(error_of("1 2", {.trailing = false}), HasSubstr("after the value"));
    EXPECT_TRUE(parse("1 2"));
}

TEST(JsonReaderTest, EveryPrefixOfADocumentIsRefusedWithoutHarm)
{
    const std::string whole = R"({"a":[1,-2.5e+3,true,false,null,"x\u00e9\n"],"b":{"c":{}}})";
    ASSERT_TRUE(parse(whole));
    for (std::size_t n = 0; n < whole.size(); ++n) EXPECT_FALSE(parse(whole.substr(0, n))) << n;
}

TEST(JsonReaderTest, DepthBytesAndNumberOfValuesAreBounded)
{
    const auto nested = [](std::size_t depth) {
        return std::string(depth, '[') + std::string(depth, ']');
    };
    EXPECT_TRUE(parse(nested(65)));
    EXPECT_THAT(error_of(nested(66)), HasSubstr("deeper than 64"));
    EXPECT_THAT(error_of(nested(1'000'000)), HasSubstr("deeper than 64"));
    EXPECT_THAT(error_of("[1,2,3]", {.values = 3}), HasSubstr("more than 3"));
    EXPECT_THAT(error_of("[1,2,3]", {.bytes = 6}), HasSubstr("larger than 6"));
}

TEST(JsonTextTest, StringsAreEscapedAsTheOriginalsDo)
{
    EXPECT_EQ(written("a\"\\\n\r\t"), R"("a\"\\\n\r\t")");
    EXPECT_EQ(written("<nil>&"), R"("\u003cnil\u003e\u0026")");
    EXPECT_EQ(written(std::string_view{"\0\x1f\x7f\b", 4}), "\"\\u0000\\u001f\x7f\\u0008\"");
    EXPECT_EQ(written("é☃\u2028\u2029"), R"("é☃\u2028\u2029")");
    EXPECT_EQ(written("\xFFx"), R"("\ufffdx")");
}

TEST(JsonTextTest, NumbersAreShortest)
{
    EXPECT_EQ(written(0.0), "0");
    EXPECT_EQ(written(40.0), "40");
    EXPECT_EQ(written(0.14300000000000002), "0.14300000000000002");
    EXPECT_EQ(written(-1.5), "-1.5");
    EXPECT_EQ(written(1e20), "100000000000000000000");
    EXPECT_EQ(written(1e21), "1e+21");
    EXPECT_EQ(written(1e-6), "0.000001");
    EXPECT_EQ(written(1e-7), "1e-7");
    EXPECT_EQ(written(std::numeric_limits<double>::infinity()), "0");
}

TEST(JsonTextTest, CompactKeepsAllButBlanksAndMarkup)
{
    EXPECT_EQ(
        compact(R"({ "Namespace": "a" ,"IP":"x<y", "n" : 1.50, "n":1e3, "s":"\u00e9 \" > "})"),
        R"({"Namespace":"a","IP":"x\u003cy","n":1.50,"n":1e3,"s":"\u00e9 \" \u003e "})");
}

}  // namespace
}  // namespace znode::grid::json
