#pragma once
// The answers of the status socket as text for people. Pure: everything comes in by arguments.
//
// Text that somebody else wrote (messages, names, log lines) cannot move the cursor: control
// characters are shown as \xNN.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>
#include <znode/v1/operations.pb.h>
#include <znode/v1/resources.pb.h>
#include <znode/v1/status.pb.h>
#include <znode/v1/workload.pb.h>

namespace znode::status {

/// How the terminal wants it.
struct Look {
    std::size_t width = 80;  ///< Columns; tables never exceed it.
    bool color = false;
    std::int64_t now_unix_ns = 0;  ///< For "3 min ago".
};

std::string to_text(const v1::Status& status, const Look& look);
std::string to_text(const v1::WorkloadList& list, const Look& look);
std::string to_text(const v1::Workload& workload, const Look& look);
std::string to_text(const v1::Event& event, const Look& look);
/// One line; stderr is marked. `raw` leaves the line's bytes as they are, for pipes.
std::string to_text(const v1::LogLine& line, const Look& look, bool raw);
std::string to_text(const v1::Storage& storage, const Look& look);
std::string to_text(const v1::Network& network, const Look& look);
std::string to_text(const v1::Capacity& capacity, const Look& look);
std::string to_text(const v1::FlistList& list, const Look& look);
std::string to_text(const v1::Doctor& doctor, const Look& look);
std::string to_text(const v1::GcReport& report, const Look& look);
std::string to_text(const v1::Maintenance& maintenance, const Look& look);
std::string to_text(const v1::Done& done, const Look& look);

/// Whether each check is ok, or was skipped.
bool is_healthy(const v1::Doctor& doctor);

/// What the console shows.
struct ConsoleView {
    v1::Status status = {};
    v1::WorkloadList workloads = {};
    /// Why the agent does not answer; the rest is then what was known before.
    std::string failure = {};
    /// Addresses that the console found by itself, for when the agent does not answer.
    std::vector<v1::Address> own_addresses = {};
    std::size_t first_workload = 0;  ///< Scrolled down by so many.
};

/// A whole screen: exactly `rows` lines, none wider than `look.width`. Addresses come first: they
/// are what a person in front of the machine is looking for.
std::vector<std::string> console_frame(const ConsoleView& view, std::size_t rows, const Look& look);

}  // namespace znode::status
