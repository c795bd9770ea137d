#include "status/json.hpp"

#include <znode/v1/operations.pb.h>
#include <znode/v1/resources.pb.h>
#include <znode/v1/status.pb.h>
#include <znode/v1/workload.pb.h>

#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

namespace znode::status {
namespace {

namespace pb = google::protobuf;

TEST(JsonTest, KeepsFieldNamesAndPrintsZeroes)
{
    v1::Exit exit;
    exit.set_reason("exit");

    EXPECT_EQ(to_json(exit), R"({"time":"","code":0,"signal":0,"reason":"exit"})");
}

TEST(JsonTest, PrintsSizesAsNumbers)
{
    v1::Resources resources;
    resources.set_memory(4503599627370496.0);

    EXPECT_EQ(to_json(resources), R"({"cpu":0,"memory":4503599627370496,"ssd":0,"hdd":0})");
}

TEST(JsonTest, ALogLineHasTextOrBase64)
{
    v1::LogLine text;
    text.set_line("hello");
    v1::LogLine bytes;
    bytes.set_line_base64("\xff\xfe");

    EXPECT_EQ(to_json(text), R"({"time":"","stream":"","line":"hello"})");
    EXPECT_EQ(to_json(bytes), R"({"time":"","stream":"","line_base64":"//4="})");
}

TEST(JsonTest, ReadsWhatItWroteAndSkipsWhatItDoesNotKnow)
{
    v1::Status status;

    ASSERT_TRUE(from_json(R"({"node_id":"abc","tomorrow":{"x":1},"farm_id":7})", status));

    EXPECT_EQ(status.node_id(), "abc");
    EXPECT_EQ(status.farm_id(), 7U);
    EXPECT_EQ(from_json("[1,2", status).error().code, Errc::invalid);
    EXPECT_EQ(from_json(R"({"farm_id":"x"})", status).error().code, Errc::invalid);
}

TEST(SchemaTest, HasNo64BitIntegers)
{
    for (const auto* file :
         {v1::Status::descriptor()->file(),
          v1::Workload::descriptor()->file(),
          v1::Storage::descriptor()->file(),
          v1::Doctor::descriptor()->file()}) {
        for (int m = 0; m < file->message_type_count(); ++m) {
            const auto* message = file->message_type(m);
            for (int f = 0; f < message->field_count(); ++f) {
                const auto type = message->field(f)->cpp_type();
                EXPECT_NE(type, pb::FieldDescriptor::CPPTYPE_INT64) << message->full_name();
                EXPECT_NE(type, pb::FieldDescriptor::CPPTYPE_UINT64) << message->full_name();
            }
        }
    }
}

TEST(Utf8Test, TellsTextFromBytes)
{
    EXPECT_TRUE(is_utf8(""));
    EXPECT_TRUE(is_utf8("plain"));
    EXPECT_TRUE(is_utf8("Grüße €𝄞"));
    EXPECT_FALSE(is_utf8("\xC3"));
    EXPECT_FALSE(is_utf8("\xC0\xAF"));
    EXPECT_FALSE(is_utf8("\xED\xA0\x80"));
    EXPECT_FALSE(is_utf8("\xF4\x90\x80\x80"));
    EXPECT_FALSE(is_utf8("a\xFF"));
}

}  // namespace
}  // namespace znode::status
