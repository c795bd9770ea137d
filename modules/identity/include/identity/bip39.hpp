#pragma once

#include "base/result.hpp"
#include "base/secret.hpp"

namespace znode::identity {

/// The 24 words of 32 bytes, English list, single blanks between them.
Secret words_of(const Secret& seed);

/// The 32 bytes of 24 words. Blanks and case are taken as they come; Errc::invalid names the
/// position of an unknown word (never the word: it is a secret), a wrong count or checksum.
Result<Secret> seed_of(const Secret& words);

}  // namespace znode::identity
