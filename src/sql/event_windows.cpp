#include "sql/event_windows.h"

#include "duck/catalog_api.h"
#include "duck/file_system.h"
#include "stream/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace ziwa::sql {
namespace {

using duckdb::interval_t;
using duckdb::LogicalType;
using duckdb::timestamp_t;
using stream::WindowShape;
using Kind = WindowShape::Kind;

struct Named {
  std::string_view name;
  WindowFunction function;
};
constexpr std::array<Named, 6> kFunctions = {{{"ziwa_tumble_start", {Kind::tumble, false}},
                                              {"ziwa_tumble_end", {Kind::tumble, true}},
                                              {"ziwa_hop_starts", {Kind::hop, false}},
                                              {"ziwa_hop_ends", {Kind::hop, true}},
                                              {"ziwa_cumulate_starts", {Kind::cumulate, false}},
                                              {"ziwa_cumulate_ends", {Kind::cumulate, true}}}};

bool same(WindowFunction a, WindowFunction b) { return a.kind == b.kind && a.ends == b.ends; }

/// Intervals after the time, without the offset.
size_t intervals_of(Kind kind) { return kind == Kind::tumble ? 1 : 2; }

Result<int64_t> micros_of(const interval_t& interval) {
  if (interval.months != 0) {
    return Error(Code::invalid_argument, "a window cannot count months, which differ in length")
        .with_hint("use days");
  }
  int64_t micros = 0;
  if (__builtin_mul_overflow(static_cast<int64_t>(interval.days), duckdb::Interval::MICROS_PER_DAY,
                             &micros) ||
      __builtin_add_overflow(micros, interval.micros, &micros)) {
    return Error(Code::invalid_argument, "the size of a window is out of range");
  }
  return micros;
}

const char* example(Kind kind) {
  switch (kind) {
    case Kind::tumble:
      return "tumble(t, ts::TIMESTAMP, INTERVAL 1 MINUTE)";
    case Kind::hop:
      return "hop(t, ts::TIMESTAMP, INTERVAL 1 MINUTE, INTERVAL 5 MINUTES)";
    case Kind::cumulate:
      return "cumulate(t, ts::TIMESTAMP, INTERVAL 1 HOUR, INTERVAL 1 DAY)";
  }
  return "";
}

/// The arguments of one chunk.
class Arguments {
 public:
  Arguments(Kind kind, duckdb::DataChunk& chunk) : kind_(kind), formats_(chunk.ColumnCount()) {
    for (size_t i = 0; i < formats_.size(); ++i)
      chunk.data[i].ToUnifiedFormat(chunk.size(), formats_[i]);
  }
  /// Nothing: an argument is NULL.
  std::optional<timestamp_t> time(size_t row) const {
    for (const auto& format : formats_) {
      if (!format.validity.RowIsValid(format.sel->get_index(row))) return std::nullopt;
    }
    return at<timestamp_t>(0, row);
  }
  const WindowShape& shape(size_t row) {
    std::vector<interval_t> intervals;
    for (size_t i = 1; i < formats_.size(); ++i) intervals.push_back(at<interval_t>(i, row));
    if (intervals == known_) return shape_;
    auto shape = shape_of(kind_, intervals);
    if (!shape) throw duckdb::InvalidInputException(shape.error().message());
    known_ = std::move(intervals);
    shape_ = *shape;
    return shape_;
  }

 private:
  template <typename T>
  T at(size_t argument, size_t row) const {
    const auto& format = formats_[argument];
    return duckdb::UnifiedVectorFormat::GetData<T>(format)[format.sel->get_index(row)];
  }
  Kind kind_;
  std::vector<duckdb::UnifiedVectorFormat> formats_;
  std::vector<interval_t> known_;  ///< Whose shape is shape_: mostly they are constants.
  WindowShape shape_;
};

template <typename Visit>
void visit_windows(Arguments& arguments, size_t row, timestamp_t time, Visit visit) {
  const WindowShape& shape = arguments.shape(row);
  if (!duckdb::Timestamp::IsFinite(time)) return visit(time.value, time.value);
  if (!stream::each_window(shape, time.value, visit)) {
    throw duckdb::OutOfRangeException(
        "a window of this time is outside of what a TIMESTAMP can say");
  }
}

void tumble(WindowFunction function, duckdb::DataChunk& chunk, duckdb::Vector& result) {
  Arguments arguments(function.kind, chunk);
  result.SetVectorType(duckdb::VectorType::FLAT_VECTOR);
  for (size_t row = 0; row < chunk.size(); ++row) {
    auto time = arguments.time(row);
    if (!time) {
      duckdb::FlatVector::SetNull(result, row, true);
      continue;
    }
    visit_windows(arguments, row, *time, [&](int64_t start, int64_t end) {
      duckdb::FlatVector::GetData<timestamp_t>(result)[row] =
          timestamp_t(function.ends ? end : start);
    });
  }
}

/// A list per row.
void windows(WindowFunction function, duckdb::DataChunk& chunk, duckdb::Vector& result) {
  Arguments arguments(function.kind, chunk);
  result.SetVectorType(duckdb::VectorType::FLAT_VECTOR);
  duckdb::ListVector::SetListSize(result, 0);
  for (size_t row = 0; row < chunk.size(); ++row) {
    const size_t from = duckdb::ListVector::GetListSize(result);
    auto time = arguments.time(row);
    if (time) {
      visit_windows(arguments, row, *time, [&](int64_t start, int64_t end) {
        duckdb::ListVector::PushBack(
            result, duckdb::Value::TIMESTAMP(timestamp_t(function.ends ? end : start)));
      });
    } else {
      duckdb::ListVector::PushBack(result, duckdb::Value(LogicalType::TIMESTAMP));
    }
    duckdb::FlatVector::GetData<duckdb::list_entry_t>(result)[row] = {
        from, duckdb::ListVector::GetListSize(result) - from};
  }
}

void run(WindowFunction function, duckdb::DataChunk& chunk, duckdb::Vector& result) {
  if (function.kind == Kind::tumble) {
    tumble(function, chunk, result);
  } else {
    windows(function, chunk, result);
  }
  if (chunk.AllConstant()) result.SetVectorType(duckdb::VectorType::CONSTANT_VECTOR);
}

/// What an argument is called in the words of a query, which has no function of our names.
struct Role {
  std::string_view name;
  bool interval = false;
};

/// Makes the arguments of `words` timestamps and intervals, as DuckDB would, or says that they are
/// none.
void bind_arguments(duckdb::ClientContext& context, duckdb::BaseScalarFunction& function,
                    duckdb::vector<duckdb::unique_ptr<duckdb::Expression>>& arguments,
                    const std::vector<Role>& roles, std::string_view words, const char* example) {
  for (size_t i = 0; i < arguments.size(); ++i) {
    const LogicalType wanted = roles[i].interval ? LogicalType::INTERVAL : LogicalType::TIMESTAMP;
    const auto& type = arguments[i]->return_type;
    const bool open = arguments[i]->HasParameter();
    if (!open && duckdb::CastFunctionSet::ImplicitCastCost(context, type, wanted) < 0) {
      const auto at = arguments[i]->GetQueryLocation();
      Error error = Error(Code::invalid_argument, "the {} of {} is {} {}, not {}", roles[i].name,
                          words, roles[i].interval ? "an" : "a", wanted.ToString(), type.ToString())
                        .because(Cause::datatype_mismatch)
                        .with_hint(example);
      duck::throw_error(at.IsValid() ? std::move(error).at(at.GetIndex()) : std::move(error));
    }
    function.arguments[i] = wanted;
  }
}

duckdb::unique_ptr<duckdb::FunctionData> bind(
    duckdb::ClientContext& context, duckdb::ScalarFunction& function,
    duckdb::vector<duckdb::unique_ptr<duckdb::Expression>>& arguments) {
  const Kind kind = window_function_of(function.name)->kind;
  std::vector<Role> roles = {{"time column"}};
  if (kind != Kind::tumble) roles.push_back({"step", true});
  roles.push_back({"size", true});
  roles.push_back({"offset", true});
  bind_arguments(context, function, arguments, roles, stream::name_of(kind), example(kind));
  return nullptr;
}

constexpr const char* kSessionExample = "session(t PARTITION BY k, ts::TIMESTAMP, INTERVAL 1 HOUR)";

duckdb::unique_ptr<duckdb::FunctionData> bind_session(
    duckdb::ClientContext& context, duckdb::ScalarFunction& function,
    duckdb::vector<duckdb::unique_ptr<duckdb::Expression>>& arguments) {
  std::vector<Role> roles(arguments.size() - 1, {"time column"});
  roles.push_back({"gap", true});
  bind_arguments(context, function, arguments, roles, "session", kSessionExample);
  return nullptr;
}

duckdb::unique_ptr<duckdb::FunctionData> bind_session_of_view(
    duckdb::ClientContext& context, duckdb::AggregateFunction& function,
    duckdb::vector<duckdb::unique_ptr<duckdb::Expression>>& arguments) {
  bind_arguments(context, function, arguments, {{"time column"}, {"gap", true}}, "session",
                 kSessionExample);
  return nullptr;
}

/// A good gap, or an exception.
int64_t gap_in_row(interval_t interval) {
  auto gap = gap_of(interval);
  if (!gap) throw duckdb::InvalidInputException(gap.error().message());
  return *gap;
}

bool begins_session(timestamp_t before, timestamp_t time, int64_t gap) {
  if (before == time) return false;
  if (!duckdb::Timestamp::IsFinite(before) || !duckdb::Timestamp::IsFinite(time)) return true;
  int64_t apart = 0;
  return __builtin_sub_overflow(time.value, before.value, &apart) || apart > gap;
}

void session_begins(duckdb::DataChunk& chunk, duckdb::ExpressionState&, duckdb::Vector& result) {
  std::array<duckdb::UnifiedVectorFormat, 3> formats;
  for (size_t i = 0; i < formats.size(); ++i)
    chunk.data[i].ToUnifiedFormat(chunk.size(), formats[i]);
  result.SetVectorType(duckdb::VectorType::FLAT_VECTOR);
  auto* begins = duckdb::FlatVector::GetData<int32_t>(result);
  for (size_t row = 0; row < chunk.size(); ++row) {
    std::array<size_t, 3> at{};
    bool whole = true;
    for (size_t i = 0; i < formats.size(); ++i) {
      at[i] = formats[i].sel->get_index(row);
      whole = whole && formats[i].validity.RowIsValid(at[i]);
    }
    begins[row] = 1;
    if (!whole) continue;
    using duckdb::UnifiedVectorFormat;
    begins[row] =
        begins_session(UnifiedVectorFormat::GetData<timestamp_t>(formats[0])[at[0]],
                       UnifiedVectorFormat::GetData<timestamp_t>(formats[1])[at[1]],
                       gap_in_row(UnifiedVectorFormat::GetData<interval_t>(formats[2])[at[2]]))
            ? 1
            : 0;
  }
  if (chunk.AllConstant()) result.SetVectorType(duckdb::VectorType::CONSTANT_VECTOR);
}

timestamp_t session_stop(timestamp_t last, interval_t interval) {
  if (!duckdb::Timestamp::IsFinite(last)) return last;
  int64_t end = 0;
  if (__builtin_add_overflow(last.value, gap_in_row(interval), &end))
    throw duckdb::OutOfRangeException(
        "a session of this time is outside of what a TIMESTAMP can say");
  return timestamp_t(end);
}

void session_stops(duckdb::DataChunk& chunk, duckdb::ExpressionState&, duckdb::Vector& result) {
  duckdb::BinaryExecutor::Execute<timestamp_t, interval_t, timestamp_t>(
      chunk.data[0], chunk.data[1], result, chunk.size(), session_stop);
}

/// The aggregates of a view are only ever bound.
[[noreturn]] void never_run() {
  throw duckdb::InternalException("a session of a view is run by DuckDB");
}

duckdb::AggregateFunction session_of_view(std::string_view name) {
  return {std::string(name),
          {LogicalType::ANY, LogicalType::ANY},
          LogicalType::TIMESTAMP,
          [](const duckdb::AggregateFunction&) -> duckdb::idx_t { return 1; },
          [](const duckdb::AggregateFunction&, duckdb::data_ptr_t) {},
          [](duckdb::Vector[], duckdb::AggregateInputData&, duckdb::idx_t, duckdb::Vector&,
             duckdb::idx_t) { never_run(); },
          [](duckdb::Vector&, duckdb::Vector&, duckdb::AggregateInputData&, duckdb::idx_t) {
            never_run();
          },
          [](duckdb::Vector&, duckdb::AggregateInputData&, duckdb::Vector&, duckdb::idx_t,
             duckdb::idx_t) { never_run(); },
          nullptr,
          bind_session_of_view};
}

}  // namespace

std::string_view name_of(WindowFunction function) {
  return std::ranges::find_if(kFunctions,
                              [&](const Named& it) { return same(it.function, function); })
      ->name;
}

std::optional<WindowFunction> window_function_of(std::string_view name) {
  auto found = std::ranges::find(kFunctions, name, &Named::name);
  if (found == kFunctions.end()) return std::nullopt;
  return found->function;
}

Result<WindowShape> shape_of(Kind kind, const std::vector<interval_t>& intervals) {
  const size_t needed = intervals_of(kind);
  WindowShape shape{.kind = kind};
  shape.size_us = TRY(micros_of(intervals.at(needed - 1)));
  if (needed > 1) shape.step_us = TRY(micros_of(intervals[0]));
  if (intervals.size() > needed) shape.offset_us = TRY(micros_of(intervals[needed]));
  TRY(stream::check(shape));
  return shape;
}

Result<int64_t> gap_of(interval_t interval) {
  const int64_t gap = TRY(micros_of(interval));
  if (gap > 0 && gap <= stream::kGapMaxUs) return gap;
  return Error(Code::invalid_argument,
               "the gap of session() must be positive and 1000 years at most");
}

Status register_window_functions(duck::Instance& instance) {
  return duck::guarded([&] {
    duckdb::ExtensionLoader loader(*instance.database().instance, "ziwa");
    for (std::string_view name : {kSessionStart, kSessionEnd}) {
      loader.RegisterFunction(session_of_view(name));
    }
    duckdb::ScalarFunction begins(std::string(kSessionBegins),
                                  {LogicalType::ANY, LogicalType::ANY, LogicalType::ANY},
                                  LogicalType::INTEGER, session_begins, bind_session);
    begins.SetFallible();
    begins.SetNullHandling(duckdb::FunctionNullHandling::SPECIAL_HANDLING);
    loader.RegisterFunction(std::move(begins));
    duckdb::ScalarFunction stops(std::string(kSessionStops), {LogicalType::ANY, LogicalType::ANY},
                                 LogicalType::TIMESTAMP, session_stops, bind_session);
    stops.SetFallible();
    loader.RegisterFunction(std::move(stops));
    for (const auto& named : kFunctions) {
      const std::string name(named.name);
      const bool tumble = named.function.kind == Kind::tumble;
      const LogicalType result =
          tumble ? LogicalType::TIMESTAMP : LogicalType::LIST(LogicalType::TIMESTAMP);
      duckdb::ScalarFunctionSet set(name);
      for (size_t more : {0, 1}) {
        duckdb::vector<LogicalType> arguments(1 + intervals_of(named.function.kind) + more,
                                              LogicalType::ANY);
        duckdb::ScalarFunction function(
            name, arguments, result,
            [of = named.function](duckdb::DataChunk& chunk, duckdb::ExpressionState&,
                                  duckdb::Vector& out) { run(of, chunk, out); },
            bind);
        function.SetFallible();
        function.SetNullHandling(duckdb::FunctionNullHandling::SPECIAL_HANDLING);
        set.AddFunction(std::move(function));
      }
      loader.RegisterFunction(std::move(set));
    }
  });
}

}  // namespace ziwa::sql
