// Rows and keys as a store may give them back: bytes of any kind, and what our encoders wrote, cut
// or with bytes changed. The end of an input chooses the types and what is done.
#include "data/row_key.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <fuzzer/FuzzedDataProvider.h>

namespace ziwa::data {
namespace {

using duckdb::LogicalType;
using duckdb::Value;
using Types = duckdb::vector<LogicalType>;

constexpr size_t kColumnsMax = 4;
constexpr size_t kChildrenMax = 3;
constexpr size_t kTextMax = 12;
constexpr size_t kFlat = 34;  ///< Types that may stand in a key come first.

const Types& menu() {
  static const Types kTypes = [] {
    duckdb::Vector names(LogicalType::VARCHAR, 3);
    for (size_t i = 0; i < 3; ++i) names.SetValue(i, Value(std::string(i + 1, 'e')));
    auto level = LogicalType::ENUM(names, 3);
    auto text = LogicalType::VARCHAR;
    auto pair = LogicalType::STRUCT({{"flag", LogicalType::BOOLEAN}, {"text", text}});
    return Types{
        LogicalType::BOOLEAN, LogicalType::TINYINT, LogicalType::SMALLINT, LogicalType::INTEGER,
        LogicalType::BIGINT, LogicalType::HUGEINT, LogicalType::UTINYINT, LogicalType::USMALLINT,
        LogicalType::UINTEGER, LogicalType::UBIGINT, LogicalType::UHUGEINT, LogicalType::FLOAT,
        LogicalType::DOUBLE, LogicalType::DECIMAL(4, 1), LogicalType::DECIMAL(9, 2),
        LogicalType::DECIMAL(18, 3), LogicalType::DECIMAL(38, 10), LogicalType::DATE,
        LogicalType::TIME, LogicalType::TIME_TZ, LogicalType::TIMESTAMP, LogicalType::TIMESTAMP_TZ,
        LogicalType::TIMESTAMP_S, LogicalType::TIMESTAMP_MS, LogicalType::TIMESTAMP_NS,
        LogicalType::INTERVAL, LogicalType::INTERVAL, LogicalType::UUID, LogicalType::BIT,
        LogicalType::BLOB, text, text, level, level,
        // Only in rows.
        LogicalType::BIGNUM, LogicalType::LIST(LogicalType::INTEGER), LogicalType::LIST(text),
        LogicalType::ARRAY(LogicalType::SMALLINT, 3), LogicalType::MAP(text, LogicalType::DOUBLE),
        pair, LogicalType::LIST(LogicalType::STRUCT({{"level", level}, {"pairs", pair}})),
        LogicalType::LIST(LogicalType::LIST(LogicalType::BIT)),
        LogicalType::STRUCT({{"span", LogicalType::INTERVAL},
                             {"big", LogicalType::BIGNUM},
                             {"days", LogicalType::LIST(LogicalType::DATE)}})};
  }();
  return kTypes;
}

class Input {
 public:
  Input(const uint8_t* data, size_t size) : provider_(data, size) {}

  bool chance() { return provider_.ConsumeBool(); }
  size_t below(size_t limit) { return provider_.ConsumeIntegralInRange<size_t>(0, limit - 1); }
  std::string rest() { return provider_.ConsumeRemainingBytesAsString(); }

  Types types(bool flat) {
    Types types;
    size_t count = 1 + below(kColumnsMax);
    for (size_t i = 0; i < count; ++i) types.push_back(menu()[below(flat ? kFlat : menu().size())]);
    return types;
  }

  /// Any value of `type` that DuckDB could hold.
  Value value(const LogicalType& type) {
    constexpr size_t kNullOdds = 16;
    if (below(kNullOdds) == 0) return Value(type);
    switch (type.id()) {
      case duckdb::LogicalTypeId::BOOLEAN:
        return Value::BOOLEAN(chance());
      case duckdb::LogicalTypeId::ENUM:
        return Value::ENUM(below(duckdb::EnumType::GetSize(type)), type);
      case duckdb::LogicalTypeId::VARCHAR: {
        auto any = provider_.ConsumeRandomLengthString(kTextMax);
        return Value(Value::StringIsValid(any) ? any : std::to_string(any.size()));
      }
      case duckdb::LogicalTypeId::BLOB:
        return Value::BLOB_RAW(provider_.ConsumeRandomLengthString(kTextMax));
      case duckdb::LogicalTypeId::BIT:
        return Value(std::string(1 + below(kTextMax), chance() ? '1' : '0')).DefaultCastAs(type);
      case duckdb::LogicalTypeId::BIGNUM:
        return Value::BIGINT(provider_.ConsumeIntegral<int64_t>()).DefaultCastAs(type);
      case duckdb::LogicalTypeId::LIST:
        return Value::LIST(duckdb::ListType::GetChildType(type),
                           children(duckdb::ListType::GetChildType(type), below(kChildrenMax)));
      case duckdb::LogicalTypeId::ARRAY:
        return Value::ARRAY(
            duckdb::ArrayType::GetChildType(type),
            children(duckdb::ArrayType::GetChildType(type), duckdb::ArrayType::GetSize(type)));
      case duckdb::LogicalTypeId::MAP:
        return Value::MAP(duckdb::MapType::KeyType(type), duckdb::MapType::ValueType(type),
                          {Value("key")}, {value(duckdb::MapType::ValueType(type))});
      case duckdb::LogicalTypeId::STRUCT: {
        duckdb::vector<Value> fields;
        for (const auto& field : duckdb::StructType::GetChildTypes(type))
          fields.push_back(value(field.second));
        return Value::STRUCT(type, std::move(fields));
      }
      case duckdb::LogicalTypeId::INTERVAL:
        return interval(chance() ? 1 : -1);
      case duckdb::LogicalTypeId::TIME:
        return Value::TIME(time());
      case duckdb::LogicalTypeId::TIME_TZ: {
        constexpr int32_t kMax = duckdb::dtime_tz_t::MAX_OFFSET;
        auto clock = time();
        return Value::TIMETZ({clock, provider_.ConsumeIntegralInRange<int32_t>(-kMax, kMax)});
      }
      default:
        return fixed(type);
    }
  }

 private:
  duckdb::dtime_t time() {
    return duckdb::dtime_t(
        provider_.ConsumeIntegralInRange<int64_t>(0, duckdb::Interval::MICROS_PER_DAY));
  }
  /// Of one sign: DuckDB takes "1 month -1 day" for another value than "29 days", keys do not.
  Value interval(int sign) {
    auto part = [&]<typename T>(T) {
      return static_cast<T>(sign *
                            provider_.ConsumeIntegralInRange<T>(0, std::numeric_limits<T>::max()));
    };
    return Value::INTERVAL(part(int32_t{}), part(int32_t{}), part(int64_t{}));
  }
  duckdb::vector<Value> children(const LogicalType& type, size_t count) {
    duckdb::vector<Value> values;
    for (size_t i = 0; i < count; ++i) values.push_back(value(type));
    return values;
  }
  /// A value whose bytes are all possible.
  Value fixed(const LogicalType& type) {
    duckdb::Vector vector(type, 1);
    size_t width = duckdb::GetTypeIdSize(type.InternalType());
    std::memset(vector.GetData(), 0, width);
    provider_.ConsumeData(vector.GetData(), width);
    return vector.GetValue(0);
  }
  FuzzedDataProvider provider_;
};

std::vector<size_t> all_columns(const Types& types) {
  std::vector<size_t> columns(types.size());
  for (size_t i = 0; i < columns.size(); ++i) columns[i] = i;
  return columns;
}

/// What readers do with a row: none of it may leave its memory.
void use(duck::Chunk& chunk) {
  duckdb::Vector hashes(LogicalType::HASH);
  chunk.rows.Hash(hashes);
  for (size_t i = 0; i < chunk.rows.ColumnCount(); ++i) {
    try {
      chunk.rows.GetValue(i, 0).ToString();
    } catch (const std::exception&) {
      // DuckDB has no text for some dates.
    }
  }
}

bool same(duck::Chunk& left, duck::Chunk& right) {
  for (size_t i = 0; i < left.rows.ColumnCount(); ++i) {
    if (!Value::NotDistinctFrom(left.rows.GetValue(i, 0), right.rows.GetValue(i, 0))) return false;
  }
  return true;
}

template <typename Encoder>
std::string encode(const Encoder& encoder, const Types& types, duck::Chunk& chunk) {
  std::vector<std::string> out;
  encoder.encode(chunk.rows, all_columns(types), out);
  CHECK(out.size() == 1);
  return out[0];
}

/// One row decoded from `bytes`, or nothing when they are refused as corrupt.
template <typename Encoder>
std::unique_ptr<duck::Chunk> decode(const Encoder& encoder, const Types& types,
                                    const std::string& bytes) {
  auto chunk = std::make_unique<duck::Chunk>(types);
  auto decoded = encoder.decode(bytes, chunk->rows, 0, 0);
  std::vector<ColumnTarget> nowhere(types.size(), kSkip);
  auto skipped = encoder.decode_columns(bytes, nowhere, chunk->rows, 0);
  if (!decoded) {
    CHECK(decoded.error().code() == Code::corrupt, "{}", decoded.error().to_string());
    return nullptr;
  }
  CHECK(skipped, "{}", skipped.error().to_string());
  chunk->rows.SetCardinality(1);
  return chunk;
}

/// Bytes that are accepted are a row; a key is even the only one of its row.
template <typename Encoder>
void check_bytes(const Encoder& encoder, const Types& types, const std::string& bytes) {
  auto chunk = decode(encoder, types, bytes);
  if (!chunk) return;
  use(*chunk);
  auto again = encode(encoder, types, *chunk);
  if constexpr (std::is_same_v<Encoder, RowKeyEncoder>) CHECK(again == bytes, "not its row's key");
  auto second = decode(encoder, types, again);
  CHECK(second != nullptr && same(*chunk, *second), "a row changed");
}

/// What was encoded is decoded; no part of it is, nor anything longer.
template <typename Encoder>
void check_row(const Encoder& encoder, const Types& types, duck::Chunk& chunk, Input& input) {
  auto bytes = encode(encoder, types, chunk);
  auto decoded = decode(encoder, types, bytes);
  CHECK(decoded != nullptr, "{} is not read again", chunk.rows.ToString());
  CHECK(same(chunk, *decoded), "{} became {}", chunk.rows.ToString(), decoded->rows.ToString());
  CHECK(decode(encoder, types, bytes.substr(0, input.below(bytes.size()))) == nullptr);
  CHECK(decode(encoder, types, bytes + '\1') == nullptr);
  for (size_t changes = 1 + input.below(kChildrenMax); changes > 0; --changes)
    bytes[input.below(bytes.size())] ^= static_cast<char>(1 << input.below(8));
  check_bytes(encoder, types, bytes);
}

uint64_t utc(const Value& time) { return time.GetValue<duckdb::dtime_tz_t>().sort_key(); }

/// -1, 0 or 1, NULLs last.
int order(duck::Chunk& left, duck::Chunk& right) {
  for (size_t i = 0; i < left.rows.ColumnCount(); ++i) {
    auto a = left.rows.GetValue(i, 0);
    auto b = right.rows.GetValue(i, 0);
    if (Value::NotDistinctFrom(a, b)) continue;
    if (a.IsNull() || b.IsNull()) return a.IsNull() ? 1 : -1;
    bool by_utc = a.type().id() == duckdb::LogicalTypeId::TIME_TZ;  // As ORDER BY, unlike Value.
    bool less = by_utc ? utc(a) < utc(b) : a < b;
    return less ? -1 : 1;
  }
  return 0;
}

std::unique_ptr<duck::Chunk> make_row(const Types& types, Input& input) {
  auto chunk = std::make_unique<duck::Chunk>(types);
  for (size_t i = 0; i < types.size(); ++i) chunk->rows.SetValue(i, 0, input.value(types[i]));
  chunk->rows.SetCardinality(1);
  return chunk;
}

void check_keys(const RowKeyEncoder& encoder, const Types& types, Input& input) {
  auto left = make_row(types, input);
  auto right = make_row(types, input);
  check_row(encoder, types, *left, input);
  auto a = encode(encoder, types, *left);
  auto b = encode(encoder, types, *right);
  int bytes = a.compare(b);
  int rows = order(*left, *right);
  CHECK((bytes < 0) == (rows < 0) && (bytes > 0) == (rows > 0), "{} and {} are ordered otherwise",
        left->rows.ToString(), right->rows.ToString());
}

template <typename Encoder>
void check(Input& input) {
  constexpr bool kKey = std::is_same_v<Encoder, RowKeyEncoder>;
  auto types = input.types(kKey);
  auto encoder = Encoder::create(types);
  CHECK(encoder, "{}", encoder.error().to_string());
  if (input.chance()) return check_bytes(*encoder, types, input.rest());
  if constexpr (kKey) return check_keys(*encoder, types, input);
  auto row = make_row(types, input);
  check_row(*encoder, types, *row, input);
}

}  // namespace
}  // namespace ziwa::data

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ziwa::data;
  Input input(data, size);
  if (input.chance()) {
    check<RowKeyEncoder>(input);
  } else {
    check<RowEncoder>(input);
  }
  return 0;
}
