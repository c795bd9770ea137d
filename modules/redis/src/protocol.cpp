#include "redis/protocol.hpp"

#include <charconv>

#include <hiredis/read.h>

#include "base/text.hpp"

namespace znode::redis {
namespace {

void append_number(std::string& to, char prefix, std::size_t number)
{
    char digits[24];
    const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
    to += prefix;
    to.append(digits, end);
    to += "\r\n";
}

// The reader builds a tree from the root on and remembers the parents' addresses: a list keeps
// them.
Reply* place(const redisReadTask* task)
{
    if (task->parent == nullptr) return new Reply;  // NOLINT: owned by the reader until fetched.
    auto* parent = static_cast<Reply*>(task->parent->obj);
    parent->items.emplace_back();
    return &parent->items.back();
}

void* make_text(const redisReadTask* task, char* text, std::size_t size)
{
    auto* reply = place(task);
    reply->kind = task->type == REDIS_REPLY_ERROR    ? Reply::Kind::error
                  : task->type == REDIS_REPLY_STATUS ? Reply::Kind::status
                                                     : Reply::Kind::text;
    reply->text.assign(text, size);
    return reply;
}

// More than any answer that we ask for. Nothing is allocated for items before they come.
constexpr int most_items = 65536;

void* make_array(const redisReadTask* task, int items)
{
    if (items > most_items) return nullptr;
    auto* reply = place(task);
    reply->kind = Reply::Kind::array;
    return reply;
}

void* make_integer(const redisReadTask* task, long long number)
{
    auto* reply = place(task);
    reply->kind = Reply::Kind::integer;
    reply->number = number;
    return reply;
}

void* make_nil(const redisReadTask* task) { return place(task); }

void drop(void* reply) { delete static_cast<Reply*>(reply); }  // NOLINT

redisReplyObjectFunctions functions{make_text, make_array, make_integer, make_nil, drop};

struct FreeReader {
    void operator()(redisReader* reader) const { ::redisReaderFree(reader); }
};

}  // namespace

void append_command(std::string& to, std::initializer_list<std::string_view> arguments)
{
    append_number(to, '*', arguments.size());
    for (const auto argument : arguments) {
        append_number(to, '$', argument.size());
        to += argument;
        to += "\r\n";
    }
}

struct Parser::State {
    std::unique_ptr<redisReader, FreeReader> reader{::redisReaderCreateWithFunctions(&functions)};
    std::size_t largest = 0;
    std::size_t unanswered = 0;  // Bytes since the last complete reply.
};

Parser::Parser(std::size_t largest) : state_{std::make_unique<State>()}
{
    state_->largest = largest;
}
Parser::~Parser() = default;
Parser::Parser(Parser&&) noexcept = default;
Parser& Parser::operator=(Parser&&) noexcept = default;

Result<> Parser::feed(std::string_view bytes)
{
    state_->unanswered += bytes.size();
    if (state_->unanswered > state_->largest)
        return fail(Errc::corrupt, "redis: the answer is larger than we take");
    if (::redisReaderFeed(state_->reader.get(), bytes.data(), bytes.size()) != 0)
        return fail(Errc::corrupt, std::string{"redis: "} + state_->reader->errstr);
    return {};
}

Result<std::optional<Reply>> Parser::next()
{
    void* raw = nullptr;
    if (::redisReaderGetReply(state_->reader.get(), &raw) != 0)
        return fail(
            Errc::corrupt,
            "redis: the answer makes no sense: " + printable(state_->reader->errstr));
    if (raw == nullptr) return std::nullopt;
    state_->unanswered = 0;
    const std::unique_ptr<Reply> reply{static_cast<Reply*>(raw)};
    return std::move(*reply);
}

}  // namespace znode::redis
