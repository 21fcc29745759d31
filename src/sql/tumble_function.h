#pragma once

#include "base/result.h"
#include "duck/instance.h"

namespace ziwa::sql {

/// Registers ziwa_tumble_start(TIMESTAMP, INTERVAL): the start of the window of that size, counted
/// from 1970-01-01, that holds the time. Errors in rows: a size that is not positive or counts
/// months.
Status register_tumble_function(duck::Instance& instance);

}  // namespace ziwa::sql
