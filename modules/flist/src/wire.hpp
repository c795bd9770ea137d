#pragma once
// The records' generated code, and all of Cap'n Proto that it takes, in the only order that works.

// clang-format off
#include "capnp_cxx20.hpp"
#include <capnp/message.h>
#include <capnp/serialize.h>
#include <kj/exception.h>
#include "flist.capnp.h"
// clang-format on
