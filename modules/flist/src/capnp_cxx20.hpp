#pragma once
// Cap'n Proto 0.9 compares `const char*` with its StringPtr and counts on C++17's rules; in C++20
// the comparison it declares takes part in no rewriting. Come before every header of it.

#include <kj/string.h>

namespace kj {

inline bool operator==(const char* a, const StringPtr& b) { return b == StringPtr{a}; }
inline bool operator!=(const char* a, const StringPtr& b) { return !(b == StringPtr{a}); }

}  // namespace kj
