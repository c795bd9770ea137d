#include "session.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "explorer/node_api.hpp"
#include "http/url.hpp"

namespace znode::zgrid {

namespace {

Result<identity::Identity> identity_for(const Context& context, Who who)
{
    // Lists need no signature, and the key of nobody is as good as any.
    if (who == Who::anybody && !std::filesystem::exists(context.identity))
        return identity::Identity::generate();
    auto loaded = identity::Identity::load(context.identity);
    if (!loaded && loaded.error().code == Errc::not_found)
        return fail(
            Errc::not_found,
            "there is no identity at " + context.identity.string() +
                "; make one with: zgrid user create NAME --email ADDRESS");
    if (loaded && who == Who::user && !loaded->user_id())
        return fail(
            Errc::invalid,
            context.identity.string() +
                " holds no user's number; it is the key of a node, or of a "
                "user who was never registered");
    return loaded;
}

}  // namespace

Task<Result<std::unique_ptr<Session>>> open_session(const Context* context, Who who)
{
    CO_TRY(auto base, http::parse_url(explorer::explorer_root(context->explorer)));
    CO_TRY(auto self, identity_for(*context, who));
    auto session = std::make_unique<Session>(Session{std::move(self), nullptr, nullptr});
    session->client = http::make_client(*context->loop, std::move(base));
    auto era = explorer::era_of(context->era);
    if (!era) {
        auto found = co_await explorer::ask_era(session->client.get(), &session->self);
        if (!found) co_return tl::unexpected(std::move(found).error());
        era = *found;
    }
    session->api = explorer::make_customer_api(*session->client, session->self, *era);
    co_return session;
}

Task<Result<State>> open_state(const Context* context, const Session* session)
{
    // An update of a network holds it while its nodes answer; most are far quicker.
    constexpr std::chrono::seconds patience{60};
    const auto end = Clock::now() + patience;
    bool said = false;
    for (;;) {
        auto state = State::load_for_change(context->identity, context->explorer, session->user());
        if (state || state.error().code != Errc::unavailable) co_return state;
        if (Clock::now() > end)
            co_return fail(
                Errc::unavailable,
                state.error().message + "; waited " + std::to_string(patience.count()) +
                    " s, try again when it has ended");
        if (!std::exchange(said, true))
            std::fprintf(stderr, "zgrid: waiting: %s\n", state.error().message.c_str());
        co_await sleep_for(std::chrono::milliseconds{100});
    }
}

std::int64_t unix_now()
{
    return std::chrono::duration_cast<std::chrono::seconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
}

bool is_up(const grid::Node& node, std::int64_t now)
{
    constexpr std::int64_t patience = 600;
    return !node.deleted && node.updated.is_set() && node.updated.unix > now - patience;
}

void print(std::string_view text)
{
    // A reader that went away is no failure of the command.
    (void)std::fwrite(text.data(), 1, text.size(), stdout);
    (void)std::fflush(stdout);
}

std::size_t terminal_width()
{
    winsize size{};
    if (::isatty(STDOUT_FILENO) != 0 && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 &&
        size.ws_col >= 40)
        return size.ws_col;
    return 80;
}

bool terminal_has_colors()
{
    return ::isatty(STDOUT_FILENO) != 0 && std::getenv("NO_COLOR") == nullptr;
}

}  // namespace znode::zgrid
