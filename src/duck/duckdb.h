#pragma once
// A guard, too: the header is also part of a precompiled one, under another path (cmake/pch.cmake).
#ifndef ZIWA_DUCK_DUCKDB_H
#define ZIWA_DUCK_DUCKDB_H

// DuckDB 1.5.5 in C++23. Include this before any DuckDB header but data_chunk.hpp.
// DuckDB destroys a unique_ptr<ActiveTimer> in an inline constructor before ActiveTimer is
// complete. That is fine in C++17, but libstdc++'s constexpr unique_ptr (C++23) looks into the
// deleter at once. A deleter whose body comes after the type mends it without touching the header;
// its layout is the same, so the prebuilt library does not notice.
#include <memory>

namespace duckdb {
struct ActiveTimer;
}

template <>
struct std::default_delete<duckdb::ActiveTimer> {
  constexpr default_delete() noexcept = default;
  void operator()(duckdb::ActiveTimer* timer) const;
};

#include <duckdb.hpp>
#include <duckdb/main/profiling_utils.hpp>

inline void std::default_delete<duckdb::ActiveTimer>::operator()(duckdb::ActiveTimer* timer) const {
  delete timer;
}

#endif  // ZIWA_DUCK_DUCKDB_H
