#include "lake/partition_value_internal.h"

#include <cmath>

namespace ziwa::lake {
namespace {

using duckdb::LogicalType;
using duckdb::LogicalTypeId;
using duckdb::Value;

std::string float_text(double value, const Value& original) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return original.ToString();
}

/// Each byte as the character of that number: U+0000 to U+00FF, in UTF-8.
std::string bytes_as_text(const std::string& bytes) {
  std::string text;
  for (char c : bytes) {
    auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) {
      text += c;
    } else {
      text += static_cast<char>(0xC0 | (byte >> 6));
      text += static_cast<char>(0x80 | (byte & 0x3F));
    }
  }
  return text;
}

Result<std::string> text_as_bytes(const std::string& text) {
  std::string bytes;
  for (size_t i = 0; i < text.size(); ++i) {
    auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x80) {
      bytes += text[i];
    } else if ((byte & 0xFC) == 0xC0 && i + 1 < text.size()) {
      bytes += static_cast<char>((byte << 6) | (static_cast<unsigned char>(text[++i]) & 0x3F));
    } else {
      return Error(Code::corrupt, "a binary partition value has a character above U+00FF");
    }
  }
  return bytes;
}

/// "2001-01-01 05:00:00.5" -> "2001-01-01T05:00:00.500000Z".
std::string utc_text(int64_t micros) {
  duckdb::timestamp_t timestamp(micros);
  std::string text = duckdb::Timestamp::ToString(timestamp);
  text[text.find(' ')] = 'T';
  size_t dot = text.find('.');
  if (dot == std::string::npos) {
    text += ".000000";
  } else {
    text.append(dot + 7 - text.size(), '0');
  }
  return text + "Z";
}

bool names_a_zone(const std::string& text) {
  if (text.ends_with('Z') || text.ends_with('z')) return true;
  size_t time = text.find_first_of(" T");
  return time != std::string::npos && text.find_first_of("+-", time) != std::string::npos;
}

}  // namespace

bool has_delta_year(const Value& value) {
  duckdb::date_t date;
  if (value.type().id() == LogicalTypeId::DATE) {
    date = value.GetValueUnsafe<duckdb::date_t>();
    if (!duckdb::Date::IsFinite(date)) return false;
  } else {
    duckdb::timestamp_t timestamp(value.GetValueUnsafe<int64_t>());
    if (!duckdb::Timestamp::IsFinite(timestamp)) return false;
    date = duckdb::Timestamp::GetDate(timestamp);
  }
  const int32_t year = duckdb::Date::ExtractYear(date);
  return year >= 1 && year <= 9999;
}

Result<std::optional<std::string>> partition_text(const Value& value) {
  if (value.IsNull()) return std::optional<std::string>();
  std::string text;
  switch (value.type().id()) {
    case LogicalTypeId::FLOAT:
      text = float_text(value.GetValueUnsafe<float>(), value);
      break;
    case LogicalTypeId::DOUBLE:
      text = float_text(value.GetValueUnsafe<double>(), value);
      break;
    case LogicalTypeId::DATE:
    case LogicalTypeId::TIMESTAMP:
    case LogicalTypeId::TIMESTAMP_TZ:
      if (!has_delta_year(value)) {
        return Error(Code::invalid_argument,
                     "{} cannot name a partition: only the years 1 to 9999 can", value.ToString())
            .because(Cause::out_of_range);
      }
      text = value.type().id() == LogicalTypeId::TIMESTAMP_TZ
                 ? utc_text(value.GetValueUnsafe<int64_t>())
                 : value.ToString();
      break;
    case LogicalTypeId::BLOB:
      text = bytes_as_text(duckdb::StringValue::Get(value));
      break;
    default:
      if (value.type().IsNested())
        return Error(Code::unsupported, "a {} cannot partition", value.type().ToString());
      text = value.ToString();
  }
  if (text.empty()) return std::optional<std::string>();
  return std::optional(std::move(text));
}

Result<Value> partition_value(const std::optional<std::string>& text, const LogicalType& type) {
  if (!text || text->empty()) return Value(type);
  if (type.id() == LogicalTypeId::BLOB) return Value::BLOB_RAW(TRY(text_as_bytes(*text)));
  if (!Value::StringIsValid(*text)) return Error(Code::corrupt, "a partition value is not UTF-8");
  Value value(type.id() == LogicalTypeId::TIMESTAMP_TZ && !names_a_zone(*text) ? *text + "+00"
                                                                               : *text);
  if (!value.DefaultTryCastAs(type)) {
    return Error(Code::corrupt, "partition value \"{}\" is not a {}", *text, type.ToString());
  }
  return value;
}

}  // namespace ziwa::lake
