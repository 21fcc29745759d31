#include "protocol/rows/json_rows.h"

#include "protocol/rows/scalar_text.h"

#include <cmath>

namespace ziwa::protocol {
namespace {

template <typename T>
const T& load(const void* at) {
  return *static_cast<const T*>(at);
}

std::string_view text_at(const void* at) {
  const auto& text = load<duckdb::string_t>(at);
  return {text.GetData(), text.GetSize()};
}

template <typename Number>
void append_json_float(std::string& out, Number value) {
  bool finite = std::isfinite(value);
  if (!finite) out.push_back('"');
  append_float(out, value);
  if (!finite) out.push_back('"');
}

void append_decimal(std::string& out, const duckdb::LogicalType& type, const void* at) {
  uint8_t width = duckdb::DecimalType::GetWidth(type);
  uint8_t scale = duckdb::DecimalType::GetScale(type);
  switch (type.InternalType()) {
    case duckdb::PhysicalType::INT16:
      out.append(duckdb::Decimal::ToString(load<int16_t>(at), width, scale));
      break;
    case duckdb::PhysicalType::INT32:
      out.append(duckdb::Decimal::ToString(load<int32_t>(at), width, scale));
      break;
    case duckdb::PhysicalType::INT64:
      out.append(duckdb::Decimal::ToString(load<int64_t>(at), width, scale));
      break;
    default:
      out.append(duckdb::Decimal::ToString(load<duckdb::hugeint_t>(at), width, scale));
  }
}

/// Scalars that stand in quotes and need no escapes.
void append_quoted(std::string& out, const duckdb::LogicalType& type, const void* at) {
  using enum duckdb::LogicalTypeId;
  out.push_back('"');
  switch (type.id()) {
    case BLOB:
      out.append("\\\\x");
      append_hex(out, text_at(at));
      break;
    case DATE:
      append_date(out, load<int32_t>(at));
      break;
    case TIME:
      append_time(out, load<int64_t>(at));
      break;
    case TIMESTAMP:
      append_timestamp(out, load<int64_t>(at), 'T');
      break;
    case TIMESTAMP_SEC:
    case TIMESTAMP_MS:
    case TIMESTAMP_NS:
      append_timestamp(out, timestamp_us(type, at), 'T');
      break;
    case TIMESTAMP_TZ:
      append_timestamp(out, load<int64_t>(at), 'T');
      if (duckdb::Timestamp::IsFinite(load<duckdb::timestamp_t>(at))) out.append("+00:00");
      break;
    case INTERVAL: {
      const auto& interval = load<duckdb::interval_t>(at);
      append_interval(out, interval.months, interval.days, interval.micros);
      break;
    }
    default:
      out.append(duckdb::UUID::ToString(load<duckdb::hugeint_t>(at)));
  }
  out.push_back('"');
}

void append_json_list(std::string& out, const duckdb::vector<duckdb::Value>& items) {
  out.push_back('[');
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out.push_back(',');
    append_json_value(out, items[i]);
  }
  out.push_back(']');
}

void append_json_struct(std::string& out, const duckdb::Value& value) {
  const auto& fields = duckdb::StructValue::GetChildren(value);
  const auto& types = duckdb::StructType::GetChildTypes(value.type());
  out.push_back('{');
  for (size_t i = 0; i < fields.size(); ++i) {
    if (i > 0) out.push_back(',');
    append_json_string(out, types[i].first);
    out.push_back(':');
    append_json_value(out, fields[i]);
  }
  out.push_back('}');
}

void append_json_map(std::string& out, const duckdb::Value& value) {
  const auto& entries = duckdb::MapValue::GetChildren(value);
  if (duckdb::MapType::KeyType(value.type()).id() != duckdb::LogicalTypeId::VARCHAR) {
    append_json_list(out, entries);
    return;
  }
  out.push_back('{');
  for (size_t i = 0; i < entries.size(); ++i) {
    const auto& pair = duckdb::StructValue::GetChildren(entries[i]);
    if (i > 0) out.push_back(',');
    append_json_string(out, duckdb::StringValue::Get(pair[0]));
    out.push_back(':');
    append_json_value(out, pair[1]);
  }
  out.push_back('}');
}

}  // namespace

int64_t timestamp_us(const duckdb::LogicalType& type, const void* at) {
  auto value = load<int64_t>(at);
  constexpr int64_t kInfinity = std::numeric_limits<int64_t>::max();
  if (value == kInfinity || value == -kInfinity) return value;
  switch (type.id()) {
    case duckdb::LogicalTypeId::TIMESTAMP_SEC:
      return value * 1'000'000;
    case duckdb::LogicalTypeId::TIMESTAMP_MS:
      return value * 1'000;
    case duckdb::LogicalTypeId::TIMESTAMP_NS: {
      int64_t us = value / 1'000;
      return value % 1'000 < 0 ? us - 1 : us;
    }
    default:
      return value;
  }
}

void append_json_scalar(std::string& out, const duckdb::LogicalType& type, const void* at) {
  using enum duckdb::LogicalTypeId;
  if (at == nullptr) {
    out.append("null");
    return;
  }
  switch (type.id()) {
    case BOOLEAN:
      out.append(load<bool>(at) ? "true" : "false");
      return;
    case TINYINT:
      append_integer(out, load<int8_t>(at));
      return;
    case SMALLINT:
      append_integer(out, load<int16_t>(at));
      return;
    case INTEGER:
      append_integer(out, load<int32_t>(at));
      return;
    case BIGINT:
      append_integer(out, load<int64_t>(at));
      return;
    case UTINYINT:
      append_unsigned(out, load<uint8_t>(at));
      return;
    case USMALLINT:
      append_unsigned(out, load<uint16_t>(at));
      return;
    case UINTEGER:
      append_unsigned(out, load<uint32_t>(at));
      return;
    case UBIGINT:
      append_unsigned(out, load<uint64_t>(at));
      return;
    case HUGEINT:
      out.append(duckdb::Hugeint::ToString(load<duckdb::hugeint_t>(at)));
      return;
    case UHUGEINT:
      out.append(duckdb::Uhugeint::ToString(load<duckdb::uhugeint_t>(at)));
      return;
    case FLOAT:
      append_json_float(out, load<float>(at));
      return;
    case DOUBLE:
      append_json_float(out, load<double>(at));
      return;
    case DECIMAL:
      append_decimal(out, type, at);
      return;
    case VARCHAR:
      if (type.IsJSONType()) {
        out.append(text_at(at));
      } else {
        append_json_string(out, text_at(at));
      }
      return;
    default:
      append_quoted(out, type, at);
  }
}

void append_json_value(std::string& out, const duckdb::Value& value) {
  using enum duckdb::LogicalTypeId;
  if (value.IsNull()) {
    out.append("null");
    return;
  }
  switch (value.type().id()) {
    case LIST:
      append_json_list(out, duckdb::ListValue::GetChildren(value));
      return;
    case ARRAY:
      append_json_list(out, duckdb::ArrayValue::GetChildren(value));
      return;
    case STRUCT:
      append_json_struct(out, value);
      return;
    case MAP:
      append_json_map(out, value);
      return;
    default:
      break;
  }
  ScalarCell cell(value);
  append_json_scalar(out, cell.type(), cell.at());
}

JsonRowWriter::JsonRowWriter(const std::vector<std::string>& names) {
  for (const auto& name : names) {
    std::string key(keys_.empty() ? "{" : ",");
    append_json_string(key, name);
    key.push_back(':');
    keys_.push_back(std::move(key));
  }
}

void JsonRowWriter::append(std::string& out, const Columns& columns, size_t row) const {
  if (keys_.empty()) out.push_back('{');
  for (size_t i = 0; i < keys_.size(); ++i) {
    out.append(keys_[i]);
    if (Columns::nested(columns.type(i))) {
      append_json_value(out, columns.value(i, row));
    } else {
      append_json_scalar(out, columns.type(i), columns.at(i, row));
    }
  }
  out.push_back('}');
}

}  // namespace ziwa::protocol
