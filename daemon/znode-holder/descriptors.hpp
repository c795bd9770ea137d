#pragma once

namespace znode::holder {

/// Listens in the runtime folder for the agent's descriptors (kernel/descriptor_wire.hpp); only
/// root is answered. -1 with errno when it cannot.
int open_descriptor_socket(const char* run_dir);

/// Answers, one caller after the other, for ever; a silent one costs a second. With -1 it only
/// waits.
[[noreturn]] void keep_descriptors(int listener);

}  // namespace znode::holder
