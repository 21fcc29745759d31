#include "duck/cause.h"
#include "duck/instance.h"
#include "protocol/postgres/numeric.h"
#include "protocol/postgres/types.h"

#include <charconv>
#include <map>

namespace ziwa::protocol::postgres {
namespace {

using duckdb::LogicalType;
using duckdb::Value;

constexpr int32_t kEpochDays = 10'957;
constexpr int64_t kEpochUs = int64_t{kEpochDays} * 86'400 * 1'000'000;
constexpr int32_t kArrayItemsMax = 1'000'000;

struct KnownType {
  LogicalType type;
  uint32_t element = 0;  ///< Of an array.
};

const std::map<uint32_t, KnownType>& known_types() {
  static const std::map<uint32_t, KnownType> kKnown = [] {
    std::map<uint32_t, KnownType> known = {
        {oid::kBool, {LogicalType::BOOLEAN}},
        {oid::kBytea, {LogicalType::BLOB}},
        {oid::kInt8, {LogicalType::BIGINT}},
        {oid::kInt2, {LogicalType::SMALLINT}},
        {oid::kInt4, {LogicalType::INTEGER}},
        {oid::kText, {LogicalType::VARCHAR}},
        {oid::kVarchar, {LogicalType::VARCHAR}},
        {oid::kBpchar, {LogicalType::VARCHAR}},
        {oid::kJson, {LogicalType::JSON()}},
        {oid::kJsonb, {LogicalType::JSON()}},
        {oid::kFloat4, {LogicalType::FLOAT}},
        {oid::kFloat8, {LogicalType::DOUBLE}},
        {oid::kDate, {LogicalType::DATE}},
        {oid::kTime, {LogicalType::TIME}},
        {oid::kTimestamp, {LogicalType::TIMESTAMP}},
        {oid::kTimestampTz, {LogicalType::TIMESTAMP_TZ}},
        {oid::kInterval, {LogicalType::INTERVAL}},
        {oid::kUuid, {LogicalType::UUID}},
        {oid::kNumeric, {LogicalType::DECIMAL(38, 18)}},
    };
    const std::pair<uint32_t, uint32_t> arrays[] = {
        {199, oid::kJson},     {1014, oid::kBpchar},  {1187, oid::kInterval},
        {3807, oid::kJsonb},   {1000, oid::kBool},    {1001, oid::kBytea},
        {1231, oid::kNumeric}, {1005, oid::kInt2},    {1007, oid::kInt4},
        {1009, oid::kText},    {1015, oid::kVarchar}, {1016, oid::kInt8},
        {1021, oid::kFloat4},  {1022, oid::kFloat8},  {1115, oid::kTimestamp},
        {1182, oid::kDate},    {1183, oid::kTime},    {1185, oid::kTimestampTz},
        {2951, oid::kUuid},
    };
    for (auto [array, element] : arrays) {
      known[array] = {LogicalType::LIST(known.at(element).type), element};
    }
    return known;
  }();
  return kKnown;
}

Error not_binary(std::string_view what) {
  return Error(Code::invalid_argument, "a binary parameter is not a {}", what)
      .because(Cause::invalid_text);
}

template <typename T>
Result<T> fixed(ByteView bytes, std::string_view what) {
  if (bytes.size() != sizeof(T)) return not_binary(what);
  return load_be<T>(bytes.data());
}

/// A NUMERIC without a declared type: a DECIMAL of its scale, HUGEINT or DOUBLE when it is too
/// long.
Result<Value> decimal_value(const std::string& text) {
  size_t point = text.find('.');
  size_t scale = point == std::string::npos ? 0 : text.size() - point - 1;
  LogicalType type =
      scale <= 18 ? LogicalType::DECIMAL(38, static_cast<uint8_t>(scale)) : LogicalType::DOUBLE;
  Value value;
  std::string message;
  if (Value(text).DefaultTryCastAs(type, value, &message)) return value;
  type = scale == 0 ? LogicalType::HUGEINT : LogicalType::DOUBLE;
  if (Value(text).DefaultTryCastAs(type, value, &message)) return value;
  return Error(Code::invalid_argument, "{}", message).because(duck::cause_of_cast(message));
}

// DuckDB believes its values: one out of range makes it read outside its tables.

/// Days since 2000; the ends of the range are infinite.
Result<Value> binary_date(ByteView bytes) {
  auto days = TRY(fixed<int32_t>(bytes, "date"));
  if (days == std::numeric_limits<int32_t>::max()) return Value::DATE(duckdb::date_t::infinity());
  if (days == std::numeric_limits<int32_t>::min()) return Value::DATE(duckdb::date_t::ninfinity());
  // DuckDB's range begins earlier: no smallest day to check.
  if (days > Value::MaximumValue(LogicalType::DATE).GetValueUnsafe<int32_t>() - kEpochDays) {
    return not_binary("date");
  }
  return Value::DATE(duckdb::date_t(days + kEpochDays));
}

Result<Value> binary_time(ByteView bytes) {
  auto us = TRY(fixed<int64_t>(bytes, "time"));
  if (us < 0 || us > duckdb::Interval::MICROS_PER_DAY) return not_binary("time");
  return Value::TIME(duckdb::dtime_t(us));
}

/// Microseconds since 2000; the ends of the range are infinite.
Result<duckdb::timestamp_t> binary_timestamp(ByteView bytes) {
  auto us = TRY(fixed<int64_t>(bytes, "timestamp"));
  if (us == std::numeric_limits<int64_t>::max()) return duckdb::timestamp_t::infinity();
  if (us == std::numeric_limits<int64_t>::min()) return duckdb::timestamp_t::ninfinity();
  if (us > Value::MaximumValue(LogicalType::TIMESTAMP).GetValueUnsafe<int64_t>() - kEpochUs) {
    return not_binary("timestamp");
  }
  return duckdb::timestamp_t(us + kEpochUs);
}

Result<Value> binary_scalar(ByteView bytes, uint32_t type_oid) {
  switch (type_oid) {
    case oid::kBool:
      return Value::BOOLEAN(TRY(fixed<uint8_t>(bytes, "boolean")) != 0);
    case oid::kInt2:
      return Value::SMALLINT(TRY(fixed<int16_t>(bytes, "smallint")));
    case oid::kInt4:
      return Value::INTEGER(TRY(fixed<int32_t>(bytes, "integer")));
    case oid::kInt8:
      return Value::BIGINT(TRY(fixed<int64_t>(bytes, "bigint")));
    case oid::kFloat4:
      return Value::FLOAT(std::bit_cast<float>(TRY(fixed<int32_t>(bytes, "real"))));
    case oid::kFloat8:
      return Value::DOUBLE(std::bit_cast<double>(TRY(fixed<int64_t>(bytes, "double precision"))));
    case oid::kNumeric:
      return decimal_value(TRY(numeric_text(bytes)));
    case oid::kBytea:
      return Value::BLOB_RAW(std::string(as_text(bytes)));
    case oid::kDate:
      return binary_date(bytes);
    case oid::kTime:
      return binary_time(bytes);
    case oid::kTimestamp:
      return Value::TIMESTAMP(TRY(binary_timestamp(bytes)));
    case oid::kTimestampTz:
      return Value::TIMESTAMPTZ(duckdb::timestamp_tz_t(TRY(binary_timestamp(bytes))));
    case oid::kInterval: {
      if (bytes.size() != 16) return not_binary("interval");
      return Value::INTERVAL(load_be<int32_t>(bytes.data() + 12),
                             load_be<int32_t>(bytes.data() + 8), load_be<int64_t>(bytes.data()));
    }
    case oid::kUuid: {
      if (bytes.size() != 16) return not_binary("uuid");
      duckdb::hugeint_t value;
      value.upper = static_cast<int64_t>(load_be<uint64_t>(bytes.data()) ^ (uint64_t{1} << 63));
      value.lower = load_be<uint64_t>(bytes.data() + 8);
      return Value::UUID(value);
    }
    case oid::kJsonb:
      if (bytes.empty() || bytes[0] != std::byte{1}) return not_binary("jsonb");
      return Value(std::string(as_text(bytes.subspan(1))));
    case 0:
    case oid::kUnknown:
    case oid::kText:
    case oid::kVarchar:
    case oid::kBpchar:
    case oid::kJson:
      return Value(std::string(as_text(bytes)));
    default:
      return Error(Code::unsupported, "binary parameters of the type with OID {} are not supported",
                   type_oid)
          .with_hint("send it as text");
  }
}

Result<Value> binary_array(ByteView bytes, const KnownType& known) {
  ByteReader reader(bytes);
  auto dimensions = reader.be<int32_t>();
  reader.be<int32_t>();  // Whether there are NULLs.
  auto element = reader.be<uint32_t>();
  LogicalType element_type = duckdb::ListType::GetChildType(known.type);
  if (reader.ok() && dimensions == 0) return Value::LIST(element_type, {});
  auto count = reader.be<int32_t>();
  reader.be<int32_t>();  // The first index.
  if (!reader.ok() || dimensions != 1 || count < 0 || count > kArrayItemsMax) {
    return not_binary("array of one dimension");
  }
  duckdb::vector<Value> items;
  for (int32_t i = 0; i < count; ++i) {
    auto size = reader.be<int32_t>();
    if (!reader.ok()) return not_binary("array");
    if (size < 0) {
      items.emplace_back(element_type);
      continue;
    }
    auto item = reader.raw(static_cast<size_t>(size));
    if (!reader.ok()) return not_binary("array");
    items.push_back(TRY(binary_scalar(item, element)));
  }
  return Value::LIST(element_type, std::move(items));
}

/// "\x00ff" in hexadecimal digits, or the old escape form.
Result<Value> bytea_text(std::string_view text) {
  if (!text.starts_with("\\x")) return Value::BLOB_RAW(std::string(text));
  text.remove_prefix(2);
  std::string bytes;
  for (size_t i = 0; i < text.size(); i += 2) {
    unsigned byte = 0;
    auto pair = text.substr(i, 2);
    auto [end, error] = std::from_chars(pair.data(), pair.data() + pair.size(), byte, 16);
    if (error != std::errc() || pair.size() != 2 || end != pair.data() + 2) {
      return Error(Code::invalid_argument, "a bytea parameter is not \"\\x\" and hex digits")
          .because(Cause::invalid_text);
    }
    bytes.push_back(static_cast<char>(byte));
  }
  return Value::BLOB_RAW(bytes);
}

/// {1,NULL,"a b"} of one dimension as a list of texts, which the cast to the wanted type then
/// reads.
Result<Value> array_text(std::string_view text) {
  Error malformed = Error(Code::invalid_argument, "an array parameter is not of the form {{a,b}}")
                        .because(Cause::invalid_text);
  if (!text.starts_with('{') || !text.ends_with('}') || text.size() < 2) return malformed;
  text = text.substr(1, text.size() - 2);
  duckdb::vector<Value> items;
  size_t i = 0;
  while (i < text.size()) {
    std::string item;
    bool quoted = text[i] == '"';
    if (quoted) {
      for (++i; i < text.size() && text[i] != '"'; ++i) {
        if (text[i] == '\\' && i + 1 < text.size()) ++i;
        item.push_back(text[i]);
      }
      if (i++ >= text.size()) return malformed;
    } else {
      for (; i < text.size() && text[i] != ','; ++i) {
        if (text[i] == '{' || text[i] == '}') return malformed;
        if (text[i] == '\\' && i + 1 < text.size()) ++i;
        item.push_back(text[i]);
      }
    }
    if (items.size() >= static_cast<size_t>(kArrayItemsMax)) return malformed;
    bool null = !quoted && duckdb::StringUtil::CIEquals(item, "null");
    items.push_back(null ? Value(LogicalType::VARCHAR) : Value(item));
    if (i < text.size() && text[i] != ',') return malformed;
    ++i;
  }
  return Value::LIST(LogicalType::VARCHAR, std::move(items));
}

Result<Value> text_value(std::string_view text, const LogicalType& wanted) {
  if (wanted.id() == duckdb::LogicalTypeId::BLOB) return bytea_text(text);
  bool list =
      wanted.id() == duckdb::LogicalTypeId::LIST || wanted.id() == duckdb::LogicalTypeId::ARRAY;
  if (list && text.starts_with('{')) return array_text(text);
  return Value(std::string(text));
}

Result<Value> cast_value(Value value, const LogicalType& wanted) {
  if (value.type() == wanted) return value;
  Value cast;
  std::string message;
  if (value.DefaultTryCastAs(wanted, cast, &message)) return cast;
  return Error(Code::invalid_argument, "a parameter does not read as {}: {}", wanted.ToString(),
               message)
      .because(duck::cause_of_cast(message));
}

/// An array whose type nobody has named: of texts, or of what the binary form says.
Result<Value> open_array(ByteView bytes, bool binary) {
  if (!binary) {
    Value list = TRY(array_text(as_text(bytes)));
    bool empty = duckdb::ListValue::GetChildren(list).empty();
    return empty ? Value::LIST(LogicalType::SQLNULL, {}) : list;
  }
  if (bytes.size() < 12) return not_binary("array");
  auto element = known_types().find(load_be<uint32_t>(bytes.data() + 8));
  if (element == known_types().end()) return not_binary("array of a known type");
  return binary_array(bytes, {LogicalType::LIST(element->second.type), element->first});
}

Result<Value> decode(std::optional<ByteView> bytes, bool binary, uint32_t type_oid,
                     const LogicalType& expected) {
  auto known = known_types().find(type_oid);
  bool open = open_type(expected);
  bool any_array = open && type_oid == oid::kAnyArray;
  LogicalType wanted = !open                          ? expected
                       : known != known_types().end() ? known->second.type
                                                      : LogicalType::VARCHAR;
  if (!bytes) return any_array ? Value(LogicalType::LIST(LogicalType::SQLNULL)) : Value(wanted);
  if (any_array) return open_array(*bytes, binary);
  if (binary) {
    uint32_t form = type_oid != 0 || open ? type_oid : wire_type(expected).oid;
    auto array = known_types().find(form);
    if (form == oid::kNumeric && !open) return cast_value(Value(TRY(numeric_text(*bytes))), wanted);
    bool is_array = array != known_types().end() && array->second.element != 0;
    Value value =
        is_array ? TRY(binary_array(*bytes, array->second)) : TRY(binary_scalar(*bytes, form));
    return open ? Result<Value>(value) : cast_value(std::move(value), wanted);
  }
  if (open && type_oid == oid::kNumeric) return decimal_value(std::string(as_text(*bytes)));
  return cast_value(TRY(text_value(as_text(*bytes), wanted)), wanted);
}

}  // namespace

std::optional<LogicalType> type_of_oid(uint32_t type_oid) {
  auto known = known_types().find(type_oid);
  if (known == known_types().end()) return std::nullopt;
  return known->second.type;
}

bool open_type(const LogicalType& expected) {
  using enum duckdb::LogicalTypeId;
  return expected.id() == UNKNOWN || expected.id() == INVALID || expected.id() == SQLNULL;
}

Value sample_parameter(uint32_t type_oid, const LogicalType& expected) {
  if (!open_type(expected)) return Value(expected);
  if (type_oid == oid::kAnyArray) return Value(LogicalType::LIST(LogicalType::SQLNULL));
  LogicalType type = type_of_oid(type_oid).value_or(LogicalType::VARCHAR);
  return type.IsIntegral() ? Value::MaximumValue(type) : Value(type);
}

Result<Value> decode_parameter(std::optional<ByteView> bytes, bool binary, uint32_t type_oid,
                               const LogicalType& expected) {
  auto value = duck::guarded([&] { return decode(bytes, binary, type_oid, expected); });
  if (!value) return value.error();
  return std::move(*value);
}

}  // namespace ziwa::protocol::postgres
