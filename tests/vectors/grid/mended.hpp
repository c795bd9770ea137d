#pragma once

#include "vectors.hpp"

namespace znode::test {

/// The document as ours must look: environments of a container that stand as `null` are `{}`, since
/// clients of the grid cannot handle the original's `null`.
inline Json mended(Json document)
{
    // Containers of a reservation lie deeper, in a list.
    for (auto& member : document)
        if (member.is_structured()) member = mended(std::move(member));
    if (document.is_object())
        for (const auto* name : {"environment", "secret_environment"}) {
            if (document.contains(name) && document[name].is_null())
                document[name] = Json::object();
        }
    return document;
}

}  // namespace znode::test
