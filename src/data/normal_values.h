#pragma once

#include "duck/chunk.h"

namespace ziwa::data {

/// Of values that are equal, the one that a row key gives back: 0.0 for -0.0, one NaN, 1 month for
/// 30 days.
float normal_value(float value);
double normal_value(double value);
duckdb::interval_t normal_value(duckdb::interval_t value);

}  // namespace ziwa::data
