#pragma once

#include "http/server.hpp"
#include "status/source.hpp"

namespace znode::status {

/// Answers one request. `peer` decides what is allowed: a TCP peer sees metrics and health, a user
/// of the socket whatever changes nothing, root everything. `source` outlives the answer's stream.
Task<http::Reply> answer(Source* source, const http::Request* request, http::Peer peer);

}  // namespace znode::status
