#pragma once

#include <string>
#include <string_view>

namespace znode {

/// Whether stderr is systemd's journal (`JOURNAL_STREAM` names the very file that stderr is), so
/// that lines may be sent with fields instead of as text.
bool stderr_is_the_journal();

/// One line as the journal's own protocol wants it: MESSAGE, PRIORITY (0 to 7),
/// SYSLOG_IDENTIFIER, and where the line tells them ZNODE_WORKLOAD (from `id=12-1`, `gwid=12-1`,
/// `workload=12-1`, `workload 12-1`) and ZNODE_STATE (from `state=running`).
/// `journalctl ZNODE_WORKLOAD=12-1` is then all that happened to one workload.
std::string journal_entry(std::string_view program, int priority, std::string_view line);

/// Hands an entry to the journal. Never waits; false when it was not taken (no journal there, its
/// queue full, the entry too large): the caller writes the plain line instead.
bool send_to_journal(std::string_view entry);

}  // namespace znode
