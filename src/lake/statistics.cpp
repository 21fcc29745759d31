#include "base/json_depth.h"
#include "lake/partition_value_internal.h"
#include "lake/statistics_internal.h"

#include <cmath>

namespace ziwa::lake {
namespace {

using duckdb::LogicalType;
using duckdb::LogicalTypeId;
using duckdb::Value;
using nlohmann::json;
using Op = data::ScanRequest::Bound::Op;

/// Decimals of more digits are not read from JSON numbers, which become doubles.
constexpr uint8_t kExactDecimalDigits = 15;

/// A value as JSON text, or nullopt if the statistics cannot hold it.
std::optional<std::string> bound_json(const Value& value, bool upper) {
  switch (value.type().id()) {
    case LogicalTypeId::TINYINT:
    case LogicalTypeId::SMALLINT:
    case LogicalTypeId::INTEGER:
    case LogicalTypeId::BIGINT:
    case LogicalTypeId::DECIMAL:
      return value.ToString();
    case LogicalTypeId::FLOAT:
    case LogicalTypeId::DOUBLE: {
      double number = value.GetValue<double>();
      if (!std::isfinite(number)) return std::nullopt;
      return json(number).dump();
    }
    case LogicalTypeId::DATE:
      if (!has_delta_year(value)) return std::nullopt;
      return json(value.ToString()).dump();
    case LogicalTypeId::TIMESTAMP:
    case LogicalTypeId::TIMESTAMP_TZ: {
      if (!has_delta_year(value)) return std::nullopt;
      duckdb::timestamp_t timestamp(value.GetValueUnsafe<int64_t>());
      std::string text = duckdb::Timestamp::ToString(timestamp);
      if (size_t space = text.find(' '); space != std::string::npos) text[space] = 'T';
      if (value.type().id() == LogicalTypeId::TIMESTAMP_TZ) text += 'Z';
      return json(text).dump();
    }
    case LogicalTypeId::VARCHAR: {
      const std::string& text = duckdb::StringValue::Get(value);
      auto bound = upper ? upper_bound_of(text) : std::optional(lower_bound_of(text));
      if (!bound) return std::nullopt;
      return json(*bound).dump();
    }
    default:
      return std::nullopt;
  }
}

/// Whether bound_json() knows values of this type.
bool has_bounds(const LogicalType& type) {
  switch (type.id()) {
    case LogicalTypeId::TINYINT:
    case LogicalTypeId::SMALLINT:
    case LogicalTypeId::INTEGER:
    case LogicalTypeId::BIGINT:
    case LogicalTypeId::DECIMAL:
    case LogicalTypeId::FLOAT:
    case LogicalTypeId::DOUBLE:
    case LogicalTypeId::DATE:
    case LogicalTypeId::TIMESTAMP:
    case LogicalTypeId::TIMESTAMP_TZ:
    case LogicalTypeId::VARCHAR:
      return true;
    default:
      return false;
  }
}

void append_entry(std::string& object, const std::string& name, const std::string& value) {
  if (!object.empty()) object += ',';
  object += json(name).dump() + ":" + value;
}

/// The byte after the `count`-th character, or the end.
size_t end_of_characters(const std::string& text, size_t count) {
  size_t at = 0;
  while (at < text.size() && count > 0) {
    ++at;
    while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) ++at;
    --count;
  }
  return at;
}

std::string utf8(uint32_t point) {
  std::string out;
  if (point < 0x80) {
    out += static_cast<char>(point);
  } else if (point < 0x800) {
    out += static_cast<char>(0xC0 | (point >> 6));
    out += static_cast<char>(0x80 | (point & 0x3F));
  } else if (point < 0x10000) {
    out += static_cast<char>(0xE0 | (point >> 12));
    out += static_cast<char>(0x80 | ((point >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (point & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (point >> 18));
    out += static_cast<char>(0x80 | ((point >> 12) & 0x3F));
    out += static_cast<char>(0x80 | ((point >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (point & 0x3F));
  }
  return out;
}

uint32_t code_point(std::string_view bytes) {
  auto first = static_cast<unsigned char>(bytes[0]);
  uint32_t point = bytes.size() == 1 ? first : first & (0x7Fu >> bytes.size());
  for (char c : bytes.substr(1)) point = (point << 6) | (static_cast<unsigned char>(c) & 0x3F);
  return point;
}

/// A JSON bound as a value of `type`, or NULL if it says nothing.
Value bound_value(const json& bounds, const std::string& name, const LogicalType& type) {
  auto found = bounds.find(name);
  if (found == bounds.end() || found->is_null() || found->is_structured()) return Value(type);
  if (type.id() == LogicalTypeId::DECIMAL &&
      duckdb::DecimalType::GetWidth(type) > kExactDecimalDigits) {
    return Value(type);
  }
  Value value(found->is_string() ? found->get<std::string>() : found->dump());
  return value.DefaultTryCastAs(type) ? value : Value(type);
}

/// Spark floors timestamps to milliseconds, so its upper bound may lie below the value. Some
/// writers leave NaN, which is greater than all numbers, out of the bounds.
void widen_upper(Value& max) {
  if (max.IsNull()) return;
  auto type = max.type();
  if ((type.id() == LogicalTypeId::FLOAT || type.id() == LogicalTypeId::DOUBLE)) max = Value(type);
  if (type.id() != LogicalTypeId::TIMESTAMP && type.id() != LogicalTypeId::TIMESTAMP_TZ) return;
  int64_t micros = max.GetValueUnsafe<int64_t>() + 999;
  max = type.id() == LogicalTypeId::TIMESTAMP ? Value::TIMESTAMP(duckdb::timestamp_t(micros))
                                              : Value::TIMESTAMPTZ(duckdb::timestamp_tz_t(micros));
}

bool in_range(const Value& min, const Value& max, Op op, const Value& value) {
  switch (op) {
    case Op::equal:
      return (min.IsNull() || min <= value) && (max.IsNull() || max >= value);
    case Op::less:
      return min.IsNull() || min < value;
    case Op::less_equal:
      return min.IsNull() || min <= value;
    case Op::greater:
      return max.IsNull() || max > value;
    case Op::greater_equal:
      return max.IsNull() || max >= value;
  }
  return true;
}

bool is_integer(const LogicalType& type) {
  return type.IsIntegral() && type.id() != LogicalTypeId::UHUGEINT;
}

}  // namespace

std::string lower_bound_of(const std::string& text) {
  return text.substr(0, end_of_characters(text, kStatisticsCharacters));
}

std::optional<std::string> upper_bound_of(const std::string& text) {
  size_t end = end_of_characters(text, kStatisticsCharacters);
  if (end == text.size()) return text;
  // Raise the last character that can be raised and drop what follows it.
  for (size_t count = kStatisticsCharacters; count > 0; --count) {
    size_t start = end_of_characters(text, count - 1);
    uint32_t point =
        code_point(std::string_view(text).substr(start, end_of_characters(text, count) - start));
    if (point < 0x10FFFF) {
      point = point == 0xD7FF ? 0xE000 : point + 1;
      return text.substr(0, start) + utf8(point);
    }
  }
  return std::nullopt;
}

std::string statistics_to_json(const duck::WrittenFile& file,
                               const std::vector<duck::NamedType>& columns) {
  std::string minimums;
  std::string maximums;
  std::string nulls;
  bool whole = true;
  for (size_t i = 0; i < columns.size() && i < kStatisticsColumnsMax; ++i) {
    const duck::ColumnStatistics& column = file.columns[i];
    if (column.null_count) append_entry(nulls, columns[i].name, std::to_string(*column.null_count));
    auto min = column.min ? bound_json(*column.min, false) : std::nullopt;
    auto max = column.max ? bound_json(*column.max, true) : std::nullopt;
    if (min) append_entry(minimums, columns[i].name, *min);
    if (max) append_entry(maximums, columns[i].name, *max);
    const bool has_values = column.null_count != file.rows;
    whole = whole && (!has_values || !has_bounds(columns[i].type) || (min && max));
  }
  // Some readers take a bound that is missing among others for NULL, and leave the file out.
  if (!whole) return fmt::format(R"({{"numRecords":{},"nullCount":{{{}}}}})", file.rows, nulls);
  return fmt::format(
      R"({{"numRecords":{},"minValues":{{{}}},"maxValues":{{{}}},"nullCount":{{{}}}}})", file.rows,
      minimums, maximums, nulls);
}

FilePruner::FilePruner(const TableColumns& columns,
                       const std::vector<data::ScanRequest::Bound>& bounds)
    : columns_(columns) {
  for (const auto& bound : bounds) {
    if (bound.column >= columns.stored.size() || !bound.value || bound.value->IsNull()) continue;
    const LogicalType& type = columns.stored[bound.column];
    Value value = *bound.value;
    if (columns.declared[bound.column] != type) continue;
    // Only what compares as the column does: 1.5 cast to INTEGER would be another bound.
    if (value.type() != type &&
        !(is_integer(type) && is_integer(value.type()) && value.DefaultTryCastAs(type))) {
      continue;
    }
    checks_.push_back({.column = bound.column, .op = bound.op, .value = std::move(value)});
  }
}

bool FilePruner::partition_matches(const DataFile& file, const Check& check) const {
  auto found = file.partition_values.find(columns_.schema.columns[check.column].name);
  if (found == file.partition_values.end()) return true;
  auto value = partition_value(found->second, columns_.stored[check.column]);
  if (!value.has_value()) return true;
  return !value->IsNull() && in_range(*value, *value, check.op, check.value);
}

bool FilePruner::may_match(const DataFile& file) const {
  json statistics;
  for (const Check& check : checks_) {
    if (columns_.is_partition[check.column]) {
      if (!partition_matches(file, check)) return false;
      continue;
    }
    if (file.stats.empty()) continue;
    if (statistics.is_null()) {
      if (json_nests_deeper(file.stats)) return true;
      statistics = json::parse(file.stats, nullptr, false);
    }
    if (!statistics.is_object()) return true;
    const std::string& name = columns_.schema.columns[check.column].name;
    const json none = json::object();
    const json& nulls = statistics.contains("nullCount") ? statistics["nullCount"] : none;
    if (nulls.is_object() && nulls.contains(name) && nulls[name].is_number_unsigned() &&
        file.rows && nulls[name].get<uint64_t>() == *file.rows) {
      return false;
    }
    const json& minimums = statistics.contains("minValues") ? statistics["minValues"] : none;
    const json& maximums = statistics.contains("maxValues") ? statistics["maxValues"] : none;
    if (!minimums.is_object() || !maximums.is_object()) continue;
    Value min = bound_value(minimums, name, columns_.stored[check.column]);
    Value max = bound_value(maximums, name, columns_.stored[check.column]);
    widen_upper(max);
    if (!in_range(min, max, check.op, check.value)) return false;
  }
  return true;
}

}  // namespace ziwa::lake
