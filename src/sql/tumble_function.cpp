#include "sql/tumble_function.h"

#include "duck/catalog_api.h"
#include "sql/render.h"

namespace ziwa::sql {
namespace {

using duckdb::interval_t;
using duckdb::timestamp_t;

timestamp_t window_start(timestamp_t time, interval_t size) {
  if (!duckdb::Timestamp::IsFinite(time)) return time;
  if (size.months != 0)
    throw duckdb::InvalidInputException("the size of a window cannot count months");
  int64_t size_us = 0;
  if (__builtin_mul_overflow(static_cast<int64_t>(size.days), duckdb::Interval::MICROS_PER_DAY,
                             &size_us) ||
      __builtin_add_overflow(size_us, size.micros, &size_us) || size_us <= 0) {
    throw duckdb::InvalidInputException("the size of a window must be positive");
  }
  int64_t into = time.value % size_us;
  if (into < 0) into += size_us;
  int64_t start = 0;
  if (__builtin_sub_overflow(time.value, into, &start)) {
    throw duckdb::OutOfRangeException("the window of this time begins before the first timestamp");
  }
  return timestamp_t(start);
}

void tumble_start(duckdb::DataChunk& arguments, duckdb::ExpressionState&, duckdb::Vector& result) {
  duckdb::BinaryExecutor::Execute<timestamp_t, interval_t, timestamp_t>(
      arguments.data[0], arguments.data[1], result, arguments.size(), window_start);
}

}  // namespace

Status register_tumble_function(duck::Instance& instance) {
  return duck::guarded([&] {
    using duckdb::LogicalType;
    duckdb::ExtensionLoader loader(*instance.database().instance, "ziwa");
    duckdb::ScalarFunction function(std::string(kTumbleStart),
                                    {LogicalType::TIMESTAMP, LogicalType::INTERVAL},
                                    LogicalType::TIMESTAMP, tumble_start);
    function.SetFallible();
    loader.RegisterFunction(std::move(function));
  });
}

}  // namespace ziwa::sql
