#pragma once

#include "state/store.h"
#include "stream/testing/faulty_table.h"

#include <memory>

namespace ziwa::stream::testing {

/// `store`, which fails as `fault` says ("get", "cursor", "write"); both must outlive it. What it
/// refuses to write was not written, and it goes on as after a batch that found no room.
std::unique_ptr<state::Store> make_faulty_store(state::Store& store, const Fault& fault);

}  // namespace ziwa::stream::testing
