#pragma once

#include "duck/instance.h"

namespace ziwa::sql {

/// Registers the table function nexmark(): the seeded events of data::NexmarkGenerator, a row each
/// with event_type, the columns of persons, auctions and bids, NULL but for those of its kind, and
/// dateTime. Parameters by name: events, first, seed, rate, disorder, start.
Status register_nexmark_function(duck::Instance& instance);

}  // namespace ziwa::sql
