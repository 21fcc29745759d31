#include "protocol/postgres/types.h"

#include "duck/instance.h"
#include "protocol/postgres/numeric.h"
#include "protocol/rows/json_rows.h"
#include "protocol/rows/scalar_text.h"

#include <algorithm>
#include <array>
#include <map>

namespace ziwa::protocol::postgres {
namespace {

constexpr size_t kRowBytesMax = 1u << 30;
// Postgres counts from 2000-01-01.
constexpr int32_t kEpochDays = 10'957;
constexpr int64_t kEpochUs = int64_t{kEpochDays} * 86'400 * 1'000'000;

template <typename T>
const T& load(const void* at) {
  return *static_cast<const T*>(at);
}

template <typename T>
void put_be(std::string& out, T value) {
  char raw[sizeof value];
  store_be(raw, value);
  out.append(raw, sizeof raw);
}

std::string_view text_at(const void* at) {
  const auto& text = load<duckdb::string_t>(at);
  return {text.GetData(), text.GetSize()};
}

WireType scalar_wire_type(const duckdb::LogicalType& type) {
  using enum duckdb::LogicalTypeId;
  switch (type.id()) {
    case BOOLEAN:
      return {.oid = oid::kBool, .size = 1};
    case TINYINT:
    case UTINYINT:
    case SMALLINT:
      return {.oid = oid::kInt2, .size = 2};
    case USMALLINT:
    case INTEGER:
      return {.oid = oid::kInt4, .size = 4};
    case UINTEGER:
    case BIGINT:
      return {.oid = oid::kInt8, .size = 8};
    case UBIGINT:
    case HUGEINT:
    case UHUGEINT:
      return {.oid = oid::kNumeric};
    case FLOAT:
      return {.oid = oid::kFloat4, .size = 4};
    case DOUBLE:
      return {.oid = oid::kFloat8, .size = 8};
    case DECIMAL: {
      int32_t width = duckdb::DecimalType::GetWidth(type);
      int32_t scale = duckdb::DecimalType::GetScale(type);
      return {.oid = oid::kNumeric, .modifier = ((width << 16) | scale) + 4};
    }
    case BLOB:
      return {.oid = oid::kBytea};
    case DATE:
      return {.oid = oid::kDate, .size = 4};
    case TIME:
      return {.oid = oid::kTime, .size = 8};
    case TIMESTAMP:
    case TIMESTAMP_SEC:
    case TIMESTAMP_MS:
    case TIMESTAMP_NS:
      return {.oid = oid::kTimestamp, .size = 8};
    case TIMESTAMP_TZ:
      return {.oid = oid::kTimestampTz, .size = 8};
    case INTERVAL:
      return {.oid = oid::kInterval, .size = 16};
    case UUID:
      return {.oid = oid::kUuid, .size = 16};
    default:
      return {.oid = type.IsJSONType() ? oid::kJson : oid::kText};
  }
}

uint32_t array_oid(uint32_t element) {
  static const std::map<uint32_t, uint32_t> kArrays = {
      {oid::kBool, 1000},     {oid::kBytea, 1001},   {oid::kInt2, 1005},
      {oid::kInt4, 1007},     {oid::kText, 1009},    {oid::kInt8, 1016},
      {oid::kFloat4, 1021},   {oid::kFloat8, 1022},  {oid::kTimestamp, 1115},
      {oid::kDate, 1182},     {oid::kTime, 1183},    {oid::kTimestampTz, 1185},
      {oid::kInterval, 1187}, {oid::kNumeric, 1231}, {oid::kJson, 199},
      {oid::kUuid, 2951},     {oid::kVarchar, 1015}, {oid::kJsonb, 3807},
      {oid::kBpchar, 1014},
  };
  auto found = kArrays.find(element);
  return found == kArrays.end() ? 1009 : found->second;
}

void append_text(std::string& out, const duckdb::LogicalType& type, const void* at) {
  using enum duckdb::LogicalTypeId;
  switch (type.id()) {
    case BOOLEAN:
      out.push_back(load<bool>(at) ? 't' : 'f');
      return;
    case FLOAT:
      append_float(out, load<float>(at));
      return;
    case DOUBLE:
      append_float(out, load<double>(at));
      return;
    case VARCHAR:
      out.append(text_at(at));
      return;
    case BLOB:
      out.append("\\x");
      append_hex(out, text_at(at));
      return;
    case DATE:
      append_date(out, load<int32_t>(at));
      return;
    case TIME:
      append_time(out, load<int64_t>(at));
      return;
    case TIMESTAMP:
    case TIMESTAMP_SEC:
    case TIMESTAMP_MS:
    case TIMESTAMP_NS:
      append_timestamp(out, timestamp_us(type, at), ' ');
      return;
    case TIMESTAMP_TZ:
      append_timestamp(out, load<int64_t>(at), ' ');
      if (duckdb::Timestamp::IsFinite(load<duckdb::timestamp_t>(at))) out.append("+00");
      return;
    case INTERVAL: {
      const auto& interval = load<duckdb::interval_t>(at);
      append_interval(out, interval.months, interval.days, interval.micros);
      return;
    }
    case UUID:
      out.append(duckdb::UUID::ToString(load<duckdb::hugeint_t>(at)));
      return;
    default:
      append_json_scalar(out, type, at);  // Integers and decimals look the same there.
  }
}

/// Digits of any integer or decimal, as NUMERIC takes them.
void append_numeric(std::string& out, const duckdb::LogicalType& type, const void* at) {
  std::string digits;
  append_json_scalar(digits, type, at);
  append_numeric_binary(out, digits);
}

/// Postgres counts from 2000: the first thirty years that DuckDB has do not fit, and are as good as
/// infinitely early.
void append_binary_timestamp(std::string& out, int64_t us) {
  constexpr int64_t kInfinity = std::numeric_limits<int64_t>::max();
  constexpr int64_t kMinimum = std::numeric_limits<int64_t>::min();
  if (us == kInfinity) return put_be(out, kInfinity);
  if (us < kMinimum + kEpochUs) return put_be(out, kMinimum);
  put_be(out, us - kEpochUs);
}

void append_binary_date(std::string& out, int32_t days) {
  constexpr int32_t kInfinity = std::numeric_limits<int32_t>::max();
  constexpr int32_t kMinimum = std::numeric_limits<int32_t>::min();
  if (days == kInfinity) return put_be(out, kInfinity);
  if (days < kMinimum + kEpochDays) return put_be(out, kMinimum);
  put_be(out, days - kEpochDays);
}

void append_binary(std::string& out, const duckdb::LogicalType& type, const void* at) {
  using enum duckdb::LogicalTypeId;
  switch (type.id()) {
    case BOOLEAN:
      out.push_back(load<bool>(at) ? 1 : 0);
      return;
    case TINYINT:
      return put_be(out, static_cast<int16_t>(load<int8_t>(at)));
    case UTINYINT:
      return put_be(out, static_cast<int16_t>(load<uint8_t>(at)));
    case SMALLINT:
      return put_be(out, load<int16_t>(at));
    case USMALLINT:
      return put_be(out, static_cast<int32_t>(load<uint16_t>(at)));
    case INTEGER:
      return put_be(out, load<int32_t>(at));
    case UINTEGER:
      return put_be(out, static_cast<int64_t>(load<uint32_t>(at)));
    case BIGINT:
      return put_be(out, load<int64_t>(at));
    case FLOAT:
      return put_be(out, std::bit_cast<int32_t>(load<float>(at)));
    case DOUBLE:
      return put_be(out, std::bit_cast<int64_t>(load<double>(at)));
    case UBIGINT:
    case HUGEINT:
    case UHUGEINT:
    case DECIMAL:
      return append_numeric(out, type, at);
    case BLOB:
      out.append(text_at(at));
      return;
    case DATE:
      return append_binary_date(out, load<int32_t>(at));
    case TIME:
      return put_be(out, load<int64_t>(at));
    case TIMESTAMP:
    case TIMESTAMP_SEC:
    case TIMESTAMP_MS:
    case TIMESTAMP_NS:
    case TIMESTAMP_TZ:
      return append_binary_timestamp(out, timestamp_us(type, at));
    case INTERVAL: {
      const auto& interval = load<duckdb::interval_t>(at);
      put_be(out, interval.micros);
      put_be(out, interval.days);
      return put_be(out, interval.months);
    }
    case UUID: {
      const auto& value = load<duckdb::hugeint_t>(at);
      // DuckDB flips the top bit so that signed comparison sorts UUIDs.
      put_be(out, static_cast<uint64_t>(value.upper) ^ (uint64_t{1} << 63));
      return put_be(out, value.lower);
    }
    default:
      out.append(text_at(at));
  }
}

const duckdb::vector<duckdb::Value>& items_of(const duckdb::Value& value) {
  return value.type().id() == duckdb::LogicalTypeId::LIST ? duckdb::ListValue::GetChildren(value)
                                                          : duckdb::ArrayValue::GetChildren(value);
}

/// {1,NULL,"a b"}
void append_text_array(std::string& out, const duckdb::Value& value) {
  out.push_back('{');
  bool first = true;
  for (const auto& item : items_of(value)) {
    if (!std::exchange(first, false)) out.push_back(',');
    if (item.IsNull()) {
      out.append("NULL");
      continue;
    }
    ScalarCell cell(item);
    std::string text;
    append_text(text, cell.type(), cell.at());
    bool plain = !text.empty() && text.find_first_of(" {},\"\\\t\n\r") == std::string::npos &&
                 !duckdb::StringUtil::CIEquals(text, "null");
    if (plain) {
      out.append(text);
      continue;
    }
    out.push_back('"');
    for (char c : text) {
      if (c == '"' || c == '\\') out.push_back('\\');
      out.push_back(c);
    }
    out.push_back('"');
  }
  out.push_back('}');
}

void append_binary_array(std::string& out, const duckdb::Value& value, uint32_t element_oid) {
  const auto& items = items_of(value);
  bool nulls = std::ranges::any_of(items, [](const auto& item) { return item.IsNull(); });
  put_be(out, int32_t{items.empty() ? 0 : 1});
  put_be(out, int32_t{nulls});
  put_be(out, element_oid);
  if (items.empty()) return;
  put_be(out, static_cast<int32_t>(items.size()));
  put_be(out, int32_t{1});  // Postgres counts from 1.
  for (const auto& item : items) {
    if (item.IsNull()) {
      put_be(out, int32_t{-1});
      continue;
    }
    ScalarCell cell(item);
    size_t at = out.size();
    put_be(out, int32_t{0});
    append_binary(out, cell.type(), cell.at());
    store_be(out.data() + at, static_cast<int32_t>(out.size() - at - 4));
  }
}

duckdb::LogicalType element_type(const duckdb::LogicalType& type) {
  return type.id() == duckdb::LogicalTypeId::LIST ? duckdb::ListType::GetChildType(type)
                                                  : duckdb::ArrayType::GetChildType(type);
}

}  // namespace

WireType wire_type(const duckdb::LogicalType& type) {
  if (!Columns::nested(type)) return scalar_wire_type(type);
  bool list = type.id() == duckdb::LogicalTypeId::LIST || type.id() == duckdb::LogicalTypeId::ARRAY;
  if (list && !Columns::nested(element_type(type))) {
    return {.oid = array_oid(scalar_wire_type(element_type(type)).oid), .array = true};
  }
  return {.oid = oid::kJson, .json = true};
}

RowWriter::RowWriter(const std::vector<duckdb::LogicalType>& types,
                     const std::vector<int16_t>& formats) {
  for (size_t i = 0; i < types.size(); ++i) {
    fields_.push_back({.wire = wire_type(types[i]), .binary = format_of(formats, i) == 1});
  }
}

FieldDescription RowWriter::describe(size_t index, const std::string& name) const {
  const Field& field = fields_[index];
  return {.name = name,
          .type_oid = field.wire.oid,
          .type_size = field.wire.size,
          .type_modifier = field.wire.modifier,
          .format = static_cast<int16_t>(field.binary)};
}

Status RowWriter::append(MessageWriter& out, const Columns& columns, size_t row) {
  size_t start = out.begin_row(fields_.size());
  for (size_t i = 0; i < fields_.size(); ++i) {
    const void* at = columns.at(i, row);
    if (at == nullptr) {
      out.null_field();
      continue;
    }
    size_t field = out.open_field();
    append_field(out.buffer(), fields_[i], columns, i, row, at);
    out.close_field(field);
  }
  if (out.size() - start > kRowBytesMax) {
    return Error(Code::exhausted, "a row of the answer is longer than {} bytes", kRowBytesMax);
  }
  out.end_row(start);
  return {};
}

void RowWriter::append_field(std::string& out, const Field& field, const Columns& columns,
                             size_t column, size_t row, const void* at) {
  if (field.wire.json) return append_json_value(out, columns.value(column, row));
  if (field.wire.array) {
    auto value = columns.value(column, row);
    if (!field.binary) return append_text_array(out, value);
    return append_binary_array(out, value, scalar_wire_type(element_type(value.type())).oid);
  }
  const auto& type = columns.type(column);
  return field.binary ? append_binary(out, type, at) : append_text(out, type, at);
}

}  // namespace ziwa::protocol::postgres
