#include "runner.hpp"

#include <csignal>

#include "base/text.hpp"

namespace znode::engine {
namespace {

/// What a program gets to end well when an operator restarts it.
constexpr auto stop_grace = std::chrono::seconds{10};

std::string join(const std::vector<std::string>& texts)
{
    std::string all;
    for (const auto& text : texts) all += (all.empty() ? "" : ", ") + text;
    return all;
}

/// What a refused customer reads; long texts of tools are cut.
std::string for_customer(const std::string& message) { return printable(message, 900); }

}  // namespace

Runner::Runner(Engine& engine, Entry entry)
    : engine_{engine},
      entry_{std::move(entry)},
      refusal_{entry_.refusal},
      wake_{engine.parts_.loop},
      reported_{entry_.was_ok},
      ended_{entry_.state == State::gone},
      recovering_{entry_.state == State::running}
{
}

void Runner::adopt(std::unique_ptr<Plan> plan)
{
    plan_ = std::move(plan);
    // The journal keeps it; nobody here reads it again.
    entry_.order.document = {};
    count(entry_.state != State::gone && entry_.state != State::failed);
    engine_.add_provider(*this);
}

void Runner::make_plan()
{
    if (plan_ || !refusal_.empty()) return;
    auto planned = engine_.parts_.planner.plan(entry_.order, Standing::accepted);
    if (planned)
        adopt(*std::move(planned));
    else
        refusal_ = planned.error().message;
}

void Runner::forget()
{
    count(false);
    engine_.remove_provider(*this);
}

void Runner::count(bool taken)
{
    if (taken == counted_ || !plan_) return;
    counted_ = taken;
    if (taken)
        engine_.taken_ += plan_->amounts;
    else
        engine_.taken_ -= plan_->amounts;
}

void Runner::say(std::string message)
{
    if (entry_.message == message) return;
    entry_.message = std::move(message);
    engine_.parts_.log->debug(
        "workload {} {}: {}", entry_.order.gwid, to_string(entry_.state), entry_.message);
}

Task<> Runner::run()
{
    make_plan();
    while (entry_.state != State::gone) {
        Event event = Event::failed;
        switch (entry_.state) {
            case State::waiting:
                event = co_await wait_for_needs();
                break;
            case State::deploying:
                event = co_await deploy();
                break;
            case State::running:
                if (recovering_) {
                    const auto found = co_await recover();
                    if (!found) continue;
                    event = *found;
                } else if (has_program()) {
                    event = co_await watch();
                } else {
                    event = co_await rest();
                }
                break;
            case State::backing_off:
                event = co_await back_off();
                break;
            case State::finished:
                event = co_await rest();
                break;
            case State::failed:
            case State::retiring:
                event = co_await undo(Event::undone);
                break;
            case State::gone:
                break;
        }
        const auto move = next(entry_.state, event);
        if (!move) throw std::logic_error{"the lifecycle has no answer"};
        co_await move_on(*move);
        if (move->effect == Effect::report_failure || move->effect == Effect::report_gone) {
            event = co_await until_reported();
            co_await move_on(*next(entry_.state, event));
        }
    }
    engine_.remove_provider(*this);
    plan_.reset();  // Secrets and descriptors of what is no more.
    ended_ = true;
    engine_.runner_ended_.notify();
}

/// Written down before it is done: doing a thing twice is harmless, forgetting it is not.
Task<> Runner::move_on(Transition move)
{
    const State from = entry_.state;
    entry_.state = move.to;
    entry_.since = now_ns();
    if (move.effect == Effect::report_ready) {
        entry_.message.clear();
        entry_.was_ok = true;
        entry_.result = plan_->data();
    }
    if (move.to == State::gone) entry_.message.clear();
    if (move.to == State::retiring && !end_reason_.empty()) entry_.message = end_reason_;
    if (move.to == State::failed || move.to == State::gone) count(false);
    const auto letters = estranged_ ? std::vector<Letter>{} : letters_for(move.effect);
    if (!letters.empty()) reported_ = false;
    if (estranged_) reported_ = true;

    Duration pause = std::chrono::milliseconds{200};
    for (;;) {
        Change change;
        change.entry = entry_;
        change.from = from;
        change.letters = letters;
        const auto written = co_await engine_.commit(std::move(change));
        if (written) {
            engine_.published(*written);
            break;
        }
        // A full disk: nothing goes on before it is written, but everything that runs runs.
        engine_.parts_.log->error(
            "journal refuses workload={} error=\"{}\"", entry_.order.gwid, written.error().message);
        co_await sleep_for(pause);
        pause = std::min<Duration>(pause * 2, std::chrono::seconds{5});
    }
    if (from != entry_.state)
        engine_.parts_.log->info(
            "workload {} type={} state={} was={} message=\"{}\"",
            entry_.order.gwid,
            entry_.order.type,
            to_string(entry_.state),
            to_string(from),
            entry_.message);
    if (from != entry_.state) {
        engine_.wake_needy(*this);
        if (entry_.state == State::running || entry_.state == State::gone) engine_.on_change();
    }
}

std::vector<Letter> Runner::letters_for(Effect effect) const
{
    Letter result;
    result.gwid = entry_.order.gwid;
    result.told_as = entry_.order.told_as;
    result.category = entry_.order.type;
    result.epoch = entry_.since / 1'000'000'000;
    result.data = entry_.result.empty() ? "null" : entry_.result;
    result.message = for_customer(entry_.message);
    Letter removed = result;
    removed.kind = Letter::Kind::removed;
    switch (effect) {
        case Effect::report_ready:
        case Effect::report_change:
            result.state = 1;
            return {result};
        case Effect::report_failure:
            // An explorer marks what failed for deletion and queues nothing: the removal is ours.
            result.state = 0;
            result.data = "null";
            return {result, removed};
        case Effect::report_gone:
            return {removed};
        default:
            return {};
    }
}

/// While it lives, a change of what the workload needs wakes it.
class Runner::NeedsHeard {
public:
    NeedsHeard(Engine& engine, Runner& runner) : engine_{engine}, runner_{runner}
    {
        if (!runner_.plan_) return;
        for (const auto& need : runner_.plan_->needs) {
            engine_.needy_[need.key].insert(&runner_);
            keys_.push_back(need.key);
        }
    }
    ~NeedsHeard()
    {
        for (const auto& key : keys_) {
            const auto waiting = engine_.needy_.find(key);
            if (waiting == engine_.needy_.end()) continue;
            waiting->second.erase(&runner_);
            if (waiting->second.empty()) engine_.needy_.erase(waiting);
        }
    }
    NeedsHeard(const NeedsHeard&) = delete;
    NeedsHeard& operator=(const NeedsHeard&) = delete;

private:
    Engine& engine_;
    Runner& runner_;
    std::vector<std::string> keys_;
};

Task<> Runner::removal()
{
    while (!removal_) co_await wake_.wait();
}

Task<> Runner::removal_or(Clock::time_point deadline)
{
    while (!removal_ && Clock::now() < deadline)
        (void)co_await wake_.wait_for(deadline - Clock::now());
}

/// Something it needs is here but not up, as everything is after a reboot.
bool Runner::needs_come_up() const
{
    return std::ranges::any_of(plan_->needs, [this](const Need& need) {
        const auto* provider = engine_.provider_of(need.key);
        return provider != nullptr && !provider->up();
    });
}

Task<> Runner::wish()
{
    while (!removal_ && !restart_) co_await wake_.wait();
}

Task<Event> Runner::wait_for_needs()
{
    const NeedsHeard heard{engine_, *this};
    const auto begun = Clock::now();
    const auto age =
        std::chrono::nanoseconds{std::max<std::int64_t>(now_ns() - entry_.accepted, 0)};
    const auto deadline = begun + engine_.patience_.deadline -
                          std::min<Duration>(age, engine_.patience_.deadline / 2);
    for (;;) {
        if (removal_) co_return Event::removed;
        if (!refusal_.empty()) {
            say(refusal_);
            co_return Event::failed;
        }
        waits_for_.clear();
        bool unknown = false;
        for (const auto& need : plan_->needs) {
            const auto* provider = engine_.provider_of(need.key);
            if (provider != nullptr && need.owned &&
                provider->entry().order.owner != entry_.order.owner) {
                say("cannot use " + need.text + ", which belongs to another customer");
                co_return Event::failed;
            }
            if (provider != nullptr && provider->up()) continue;
            if (provider == nullptr) unknown = true;
            waits_for_.push_back(need.text);
        }
        if (waits_for_.empty()) co_return Event::ready;

        const auto now = Clock::now();
        if (unknown && now - begun >= engine_.patience_.unknown_need) {
            say(join(waits_for_) + " is not on this node; deploy it here first");
            co_return Event::failed;
        }
        if (now >= deadline) {
            say("waited too long for " + join(waits_for_));
            co_return Event::failed;
        }
        say("waits for " + join(waits_for_));
        const auto patience = unknown ? begun + engine_.patience_.unknown_need : deadline;
        (void)co_await wake_.wait_for(std::min(patience, deadline) - now);
    }
}

Task<Event> Runner::deploy()
{
    waits_for_.clear();
    if (!plan_) {
        say(refusal_);
        co_return entry_.was_ok ? Event::crashed : Event::failed;
    }
    const auto deadline = Clock::now() + engine_.patience_.deadline;
    Duration pause = engine_.patience_.first_retry;
    restart_ = false;
    {
        // They were up when it left `waiting`; the agent, or the machine, may have begun anew
        // since.
        const NeedsHeard heard{engine_, *this};
        while (!removal_ && Clock::now() < deadline && needs_come_up()) {
            say("waits for what it needs to come back");
            (void)co_await wake_.wait_for(deadline - Clock::now());
        }
    }
    for (;;) {
        if (removal_) co_return Event::removed;
        auto outcome = co_await run_until(
            removal_or(deadline), plan_->deploy([this](const std::string& step) { say(step); }));
        if (removal_) co_return Event::removed;
        if (!outcome) outcome = fail(Errc::timeout, "not done in time: " + entry_.message);
        if (*outcome) {
            started_ = Clock::now();
            co_return Event::deployed;
        }
        const auto& error = outcome->error();
        if (entry_.was_ok) {
            // What a customer has had once is never taken away because it cannot be had just now.
            say(for_customer(error.message));
            ++crashes_;
            co_return Event::crashed;
        }
        if (!is_transient(error.code)) {
            say(for_customer(error.message));
            co_return Event::failed;
        }
        if (Clock::now() + pause >= deadline) {
            say("gave up: " + for_customer(error.message));
            co_return Event::failed;
        }
        say("trying again: " + for_customer(error.message));
        engine_.parts_.log->warn(
            "workload {} tries again error=\"{}\"", entry_.order.gwid, entry_.message);
        (void)co_await run_until(removal(), [](Duration time) -> Task<bool> {
            co_await sleep_for(time);
            co_return true;
        }(pause));
        if (removal_) co_return Event::removed;
        pause = std::min(pause * 2, engine_.patience_.longest_retry);
    }
}

/// After a restart of the agent: what the journal calls running is found, adopted or repaired.
Task<std::optional<Event>> Runner::recover()
{
    const auto done = [this] {
        recovering_ = false;
        engine_.wake_needy(*this);
    };
    if (!plan_) {
        done();
        co_return std::nullopt;
    }
    if (plan_->missed_ending) {
        if (const auto ended = co_await plan_->missed_ending()) {
            entry_.last_exit = *ended;
            say(ended->text);
            if (!ended->good) ++crashes_;
            done();
            co_return ended->good ? Event::ended : Event::crashed;
        }
    }
    // After a reboot nothing is there yet: networks and volumes come back first.
    const NeedsHeard heard{engine_, *this};
    while (!removal_ && needs_come_up()) co_await wake_.wait();

    auto outcome = co_await run_until(removal(), plan_->deploy([this](const std::string& step) {
        engine_.parts_.log->debug("workload {} recovers: {}", entry_.order.gwid, step);
    }));
    done();
    if (!outcome || removal_) co_return Event::removed;
    if (*outcome) {
        started_ = Clock::now();
        co_return std::nullopt;
    }
    say(for_customer(outcome->error().message));
    ++crashes_;
    co_return Event::crashed;
}

/// An operator wants a fresh start: what runs is asked to end, and made to after a while.
Task<> Runner::end_program()
{
    for (const int signal : {SIGTERM, SIGKILL}) {
        const auto pid = plan_->pid();
        if (pid <= 0) co_return;
        // It is the container's first process and watched: had it ended, we would not be here.
        if (::kill(static_cast<pid_t>(pid), signal) != 0) co_return;
        const auto ended = co_await run_until(sleep_for(stop_grace), plan_->watch());
        if (ended) co_return;
    }
}

Task<Event> Runner::watch()
{
    for (;;) {
        auto outcome = co_await run_until(wish(), plan_->watch());
        if (removal_) co_return Event::removed;
        if (restart_) {
            co_await end_program();
            if (removal_) co_return Event::removed;
            ++entry_.restarts;
            co_return Event::retry;
        }
        if (!outcome) continue;
        if (!*outcome) {
            engine_.parts_.log->warn(
                "workload {} cannot be watched error=\"{}\"",
                entry_.order.gwid,
                outcome->error().message);
            co_await sleep_for(engine_.patience_.first_retry);
            continue;
        }
        entry_.last_exit = **outcome;
        if (Clock::now() - started_ >= engine_.patience_.calm) crashes_ = 0;
        say((*outcome)->text);
        if ((*outcome)->good) co_return Event::ended;
        ++crashes_;
        co_return Event::crashed;
    }
}

Duration Runner::pause_after_crash() const
{
    Duration pause = engine_.patience_.first_back_off;
    for (int i = 1; i < crashes_ && pause < engine_.patience_.longest_back_off; ++i) pause *= 2;
    return std::min(pause, engine_.patience_.longest_back_off);
}

Task<Event> Runner::back_off()
{
    const auto pause = pause_after_crash();
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(pause).count();
    engine_.parts_.log->warn(
        "workload {} starts again in_ms={} after=\"{}\"", entry_.order.gwid, ms, entry_.message);
    (void)co_await run_until(wish(), [](Duration time) -> Task<bool> {
        co_await sleep_for(time);
        co_return true;
    }(pause));
    if (removal_) co_return Event::removed;
    ++entry_.restarts;
    co_return Event::retry;
}

Task<Event> Runner::rest()
{
    co_await wish();
    if (removal_) co_return Event::removed;
    restart_ = false;
    ++entry_.restarts;
    co_return Event::retry;
}

Task<Event> Runner::undo(Event afterwards)
{
    Duration pause = engine_.patience_.first_retry;
    const auto reason = entry_.message;
    while (plan_) {
        auto undone = co_await plan_->retire();
        if (undone) break;
        engine_.parts_.log->warn(
            "workload {} is not undone yet error=\"{}\"",
            entry_.order.gwid,
            undone.error().message);
        if (entry_.state == State::retiring) say(for_customer(undone.error().message));
        co_await sleep_for(pause);
        pause = std::min(pause * 2, engine_.patience_.longest_retry);
    }
    entry_.message = reason;
    co_return afterwards;
}

Task<Event> Runner::until_reported()
{
    while (!reported_) co_await wake_.wait();
    co_return Event::reported;
}

std::vector<Letter> Runner::result_again() const
{
    if (!entry_.was_ok || entry_.state == State::retiring || estranged_) return {};
    return letters_for(Effect::report_change);
}

}  // namespace znode::engine
