#include "sql/tumble_function.h"

#include "duck/catalog_api.h"
#include "duck/file_system.h"
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

/// Makes the arguments a timestamp and an interval, as DuckDB would, or says in the words of
/// tumble(...) that they are none: the statement has no function of this name.
duckdb::unique_ptr<duckdb::FunctionData> bind_tumble(
    duckdb::ClientContext& context, duckdb::ScalarFunction& function,
    duckdb::vector<duckdb::unique_ptr<duckdb::Expression>>& arguments) {
  const duckdb::LogicalType wanted[] = {duckdb::LogicalType::TIMESTAMP,
                                        duckdb::LogicalType::INTERVAL};
  const char* const names[] = {"the time column of tumble is a TIMESTAMP, not {}",
                               "the size of tumble is an INTERVAL, not {}"};
  const char* const hints[] = {"cast it: tumble(t, ts::TIMESTAMP, INTERVAL 1 MINUTE)",
                               "tumble(t, ts, INTERVAL 1 MINUTE)"};
  for (size_t i = 0; i < 2; ++i) {
    const auto& type = arguments[i]->return_type;
    const bool open = arguments[i]->HasParameter();
    if (!open && duckdb::CastFunctionSet::ImplicitCastCost(context, type, wanted[i]) < 0) {
      const auto at = arguments[i]->GetQueryLocation();
      Error error = Error(Code::invalid_argument, fmt::runtime(names[i]), type.ToString())
                        .because(Cause::datatype_mismatch)
                        .with_hint(hints[i]);
      duck::throw_error(at.IsValid() ? std::move(error).at(at.GetIndex()) : std::move(error));
    }
    function.arguments[i] = wanted[i];
  }
  return nullptr;
}

}  // namespace

Status register_tumble_function(duck::Instance& instance) {
  return duck::guarded([&] {
    using duckdb::LogicalType;
    duckdb::ExtensionLoader loader(*instance.database().instance, "ziwa");
    duckdb::ScalarFunction function(std::string(kTumbleStart), {LogicalType::ANY, LogicalType::ANY},
                                    LogicalType::TIMESTAMP, tumble_start, bind_tumble);
    function.SetFallible();
    loader.RegisterFunction(std::move(function));
  });
}

}  // namespace ziwa::sql
