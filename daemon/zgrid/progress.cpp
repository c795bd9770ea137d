#include "progress.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

#include "base/text.hpp"
#include "grid/json.hpp"
#include "status/terminal.hpp"

namespace znode::zgrid {

namespace {

double ms_since(Clock::time_point begin)
{
    return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

std::string ms_text(double ms)
{
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%8.0f ms", ms);
    return text.data();
}

}  // namespace

grid::Workload common_workload(
    const Session& session,
    std::int64_t pool,
    std::string node,
    std::string description,
    const std::string& token)
{
    grid::Workload workload;
    workload.workload_id = 1;
    workload.node_id = std::move(node);
    workload.pool_id = pool;
    workload.customer_tid = session.user();
    workload.signing_request_provision.signers = grid::List<std::int64_t>::none();
    workload.signing_request_delete.signers = {session.user()};
    workload.signing_request_delete.quorum_min = 1;
    workload.version = session.api->workload_version();
    workload.description = std::move(description);
    if (session.api->era() == explorer::Era::pools)
        workload.metadata = token;
    else
        workload.description += " " + token;
    return workload;
}

bool carries(const grid::Workload& workload, std::string_view token)
{
    return !token.empty() &&
           (workload.metadata == token || workload.description.ends_with(" " + std::string{token}));
}

void Progress::say(const std::string& line) const
{
    if (!context_.json) print(line + '\n');
}

void Progress::show(const Order& order) const
{
    if (context_.json) return;
    const bool color = terminal_has_colors();
    const auto ink = order.state == "ok"      ? status::Ink::good
                     : order.state == "error" ? status::Ink::bad
                                              : status::Ink::plain;
    std::string line = ms_text(ms_since(begin_)) + "  " + status::pad(order.key, 22) + "  " +
                       status::pad(order.id > 0 ? std::to_string(order.id) + "-1" : "", 7) + "  " +
                       status::pad(order.node.substr(0, 8), 8) + "  " +
                       status::paint(order.state, ink, color);
    if (order.ms_to_ok > 0) line += " after " + std::string{trim(ms_text(order.ms_to_ok))};
    if (!order.message.empty()) line += ": " + status::shown(order.message);
    print(line + '\n');
}

Task<Result<Order*>> Progress::post(std::string key, grid::Workload workload)
{
    auto& order = orders_.emplace_back();
    order.key = key;
    order.type = grid::type_of(workload.data);
    order.node = workload.node_id;
    order.posted = Clock::now();
    auto created = co_await session_.api->create_workload(std::move(workload));
    if (!created) {
        order.state = "error";
        order.message = created.error().message;
        show(order);
        co_return tl::unexpected(std::move(created).error().during(key));
    }
    order.id = *created;
    order.state = "ordered";
    show(order);
    co_return &order;
}

void Progress::keep(std::string key, const grid::Workload& workload)
{
    auto& order = orders_.emplace_back();
    order.key = std::move(key);
    order.type = grid::type_of(workload.data);
    order.node = workload.node_id;
    order.id = workload.id;
    order.posted = Clock::now();
    order.state = workload.result.workload_id.empty() ? "ordered" : "ok";
    order.data_json = workload.result.data.text;
    show(order);
}

Task<Result<>> Progress::look(Order* order)
{
    CO_TRY(const auto workload, co_await session_.api->workload(order->id));
    const auto& result = workload.result;
    if (result.workload_id.empty()) {
        if (workload.next_action == grid::NextAction::invalid) {
            order->state = "error";
            order->message = "the explorer took it as invalid; is there enough left in the pool?";
        } else if (workload.next_action == grid::NextAction::deleted) {
            order->state = "deleted";
        }
    } else {
        order->state = std::string{grid::to_string(result.state)};
        order->message = result.message;
        order->data_json = result.data.text;
        // A failed workload ends as deleted with its message kept.
        if (result.state == grid::ResultState::deleted && !result.message.empty())
            order->state = "error";
        if (result.state == grid::ResultState::ok) order->ms_to_ok = ms_since(order->posted);
    }
    if (order->ended()) show(*order);
    co_return Result<>{};
}

Task<Result<>> Progress::wait(std::set<std::string> keys, Duration patience)
{
    const auto end = Clock::now() + patience;
    auto pause = std::chrono::milliseconds{20};
    for (;;) {
        std::string open;
        for (auto& order : orders_) {
            if (order.state != "ordered" || (!keys.empty() && !keys.contains(order.key))) continue;
            CO_TRY_DO(co_await look(&order));
            if (!order.ended()) open += (open.empty() ? "" : ", ") + order.key;
        }
        if (open.empty()) break;
        if (Clock::now() > end) co_return fail(Errc::timeout, "no result yet of " + open);
        co_await sleep_for(pause);
        pause = std::min(pause * 2, std::chrono::milliseconds{200});
    }
    std::string failed;
    for (const auto& order : orders_)
        if ((keys.empty() || keys.contains(order.key)) && order.state != "ok" &&
            order.state != "new")
            failed += (failed.empty() ? "" : "; ") + order.key + ": " +
                      (order.message.empty() ? order.state : order.message);
    if (!failed.empty()) co_return fail(Errc::unavailable, failed);
    co_return Result<>{};
}

Task<Result<>> Progress::wait_deleted(std::string key, std::int64_t id, Duration patience)
{
    const auto begin = Clock::now();
    auto pause = std::chrono::milliseconds{20};
    for (;;) {
        const auto workload = co_await session_.api->workload(id);
        if (!workload && workload.error().code != Errc::not_found)
            co_return tl::unexpected(workload.error());
        if (!workload || workload->next_action == grid::NextAction::deleted) {
            say(ms_text(ms_since(begin)) + "  " + key + "  " + std::to_string(id) + "-1  deleted");
            co_return Result<>{};
        }
        if (Clock::now() - begin > patience)
            co_return fail(
                Errc::timeout,
                key + ": its node has not said yet that " + std::to_string(id) +
                    "-1 is gone; is the node up?");
        co_await sleep_for(pause);
        pause = std::min(pause * 2, std::chrono::milliseconds{200});
    }
}

const Order* Progress::find(std::string_view key) const
{
    const auto at = std::ranges::find(orders_, key, &Order::key);
    return at == orders_.end() ? nullptr : &*at;
}

std::string Progress::json() const
{
    std::string text = "{\"workloads\":[";
    const auto member = [&](const char* name, const std::string& value) {
        text += std::string{"\""} + name + "\":";
        grid::json::append_string(text, value);
        text += ',';
    };
    for (const auto& order : orders_) {
        if (&order != &orders_.front()) text += ',';
        text += '{';
        member("name", order.key);
        member("gwid", order.id > 0 ? std::to_string(order.id) + "-1" : "");
        member("type", std::string{grid::to_string(order.type)});
        member("node", order.node);
        member("state", order.state);
        member("message", order.message);
        text += "\"ms_to_ok\":";
        grid::json::append_number(text, order.ms_to_ok);
        text += ",\"result\":" + (order.data_json.empty() ? "null" : order.data_json) + "}";
    }
    return text + "]}\n";
}

}  // namespace znode::zgrid
