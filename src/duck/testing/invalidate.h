#pragma once

#include "duck/instance.h"

#include <duckdb/main/valid_checker.hpp>

namespace ziwa::duck::testing {

/// Ends DuckDB for everybody, as an error inside it does.
inline void invalidate(Instance& instance, const std::string& why) {
  duckdb::ValidChecker::Invalidate(*instance.database().instance, why);
}

}  // namespace ziwa::duck::testing
