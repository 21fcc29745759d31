#include "data/row_key.h"

#include "base/bytes.h"
#include "data/normal_values.h"
#include "data/sound_value_internal.h"

#include <bit>
#include <cmath>
#include <limits>

// Layout, validity and examples: docs/formats/row-key.md and docs/formats/row.md.
namespace ziwa::data {
namespace {

using duckdb::idx_t;
using duckdb::LogicalTypeId;
using duckdb::PhysicalType;

constexpr char kValueMark = 1;
constexpr char kNullMark = 2;  // Greater than kValueMark: NULLs last.
constexpr unsigned __int128 kTopBit = static_cast<unsigned __int128>(1) << 127;
constexpr int64_t kMicrosPerDay = 86'400'000'000;

enum class Kind : unsigned char {
  boolean,
  int8,
  int16,
  int32,
  int64,
  uint8,
  uint16,
  uint32,
  uint64,
  int128,
  uint128,
  float32,
  float64,
  interval,
  time_tz,
  bytes,
  nested,
};

size_t fixed_width(Kind kind) {
  switch (kind) {
    case Kind::boolean:
    case Kind::int8:
    case Kind::uint8:
      return 1;
    case Kind::int16:
    case Kind::uint16:
      return 2;
    case Kind::int32:
    case Kind::uint32:
    case Kind::float32:
      return 4;
    case Kind::int64:
    case Kind::uint64:
    case Kind::float64:
      return 8;
    case Kind::int128:
    case Kind::uint128:
    case Kind::interval:
    case Kind::time_tz:
      return 16;
    case Kind::bytes:
    case Kind::nested:
      return 0;
  }
  return 0;
}

std::optional<Kind> kind_of(const duckdb::LogicalType& type) {
  if (type.id() == LogicalTypeId::TIME_TZ) return Kind::time_tz;
  if (type.id() == LogicalTypeId::UNION || type.id() == LogicalTypeId::VARIANT) return std::nullopt;
  switch (type.InternalType()) {
    case PhysicalType::BOOL:
      return Kind::boolean;
    case PhysicalType::INT8:
      return Kind::int8;
    case PhysicalType::INT16:
      return Kind::int16;
    case PhysicalType::INT32:
      return Kind::int32;
    case PhysicalType::INT64:
      return Kind::int64;
    case PhysicalType::UINT8:
      return Kind::uint8;
    case PhysicalType::UINT16:
      return Kind::uint16;
    case PhysicalType::UINT32:
      return Kind::uint32;
    case PhysicalType::UINT64:
      return Kind::uint64;
    case PhysicalType::INT128:
      return Kind::int128;
    case PhysicalType::UINT128:
      return Kind::uint128;
    case PhysicalType::FLOAT:
      return Kind::float32;
    case PhysicalType::DOUBLE:
      return Kind::float64;
    case PhysicalType::INTERVAL:
      return Kind::interval;
    case PhysicalType::VARCHAR:
      return Kind::bytes;
    case PhysicalType::LIST:
    case PhysicalType::STRUCT:
    case PhysicalType::ARRAY:
      return Kind::nested;
    default:
      return std::nullopt;
  }
}

template <typename T>
void store_signed(char* to, T value) {
  using U = std::make_unsigned_t<T>;
  store_be<U>(to, static_cast<U>(static_cast<U>(value) ^ (U{1} << (sizeof(T) * 8 - 1))));
}
template <typename T>
T load_signed(const char* from) {
  using U = std::make_unsigned_t<T>;
  return static_cast<T>(static_cast<U>(load_be<U>(from) ^ (U{1} << (sizeof(T) * 8 - 1))));
}

void store_wide(char* to, unsigned __int128 value) {
  store_be<uint64_t>(to, static_cast<uint64_t>(value >> 64));
  store_be<uint64_t>(to + 8, static_cast<uint64_t>(value));
}
unsigned __int128 load_wide(const char* from) {
  return (static_cast<unsigned __int128>(load_be<uint64_t>(from)) << 64) |
         load_be<uint64_t>(from + 8);
}

/// Bits whose unsigned order is the order of floats: -inf < ... < inf < NaN, and -0.0 = 0.0.
template <typename F, typename U>
U float_bits(F value) {
  if (std::isnan(value)) return std::numeric_limits<U>::max();
  if (value == 0) value = 0;
  U bits = std::bit_cast<U>(value);
  constexpr U kSign = U{1} << (sizeof(U) * 8 - 1);
  return (bits & kSign) != 0 ? static_cast<U>(~bits) : static_cast<U>(bits | kSign);
}
template <typename F, typename U>
F float_value(U bits) {
  if (bits == std::numeric_limits<U>::max()) return std::numeric_limits<F>::quiet_NaN();
  constexpr U kSign = U{1} << (sizeof(U) * 8 - 1);
  return std::bit_cast<F>((bits & kSign) != 0 ? static_cast<U>(bits ^ kSign)
                                              : static_cast<U>(~bits));
}

__int128 interval_micros(const duckdb::interval_t& value) {
  __int128 days = static_cast<__int128>(value.months) * 30 + value.days;
  return days * kMicrosPerDay + value.micros;
}
/// Takes what fits into a T as whole units of `unit` from `left`.
template <typename T>
T take_units(__int128& left, __int128 unit) {
  using Limits = std::numeric_limits<T>;
  __int128 units = std::clamp<__int128>(left / unit, Limits::min(), Limits::max());
  left -= units * unit;
  return static_cast<T>(units);
}
duckdb::interval_t interval_of(__int128 micros) {
  duckdb::interval_t value;
  value.months = take_units<int32_t>(micros, 30 * static_cast<__int128>(kMicrosPerDay));
  value.days = take_units<int32_t>(micros, kMicrosPerDay);
  value.micros = take_units<int64_t>(micros, 1);
  return value;
}

uint64_t time_tz_sort_key(
    uint64_t bits) {  // As dtime_tz_t::sort_key: normalised to UTC, then the offset.
  constexpr uint64_t kOffsetMicros = 1'000'000;
  constexpr int kOffsetBits = 24;
  return bits + ((bits & ((uint64_t{1} << kOffsetBits) - 1)) * kOffsetMicros << kOffsetBits);
}

/// Writes the ordered form of the fixed-width value at `from`.
void store_fixed(Kind kind, const void* from, char* to) {
  auto load = [&]<typename T>(T) {
    T value;
    std::memcpy(&value, from, sizeof value);
    return value;
  };
  switch (kind) {
    case Kind::boolean:
      *to = static_cast<char>(load(uint8_t{}) != 0);
      return;
    case Kind::uint8:
      *to = static_cast<char>(load(uint8_t{}));
      return;
    case Kind::int8:
      return store_signed(to, load(int8_t{}));
    case Kind::int16:
      return store_signed(to, load(int16_t{}));
    case Kind::int32:
      return store_signed(to, load(int32_t{}));
    case Kind::int64:
      return store_signed(to, load(int64_t{}));
    case Kind::uint16:
      return store_be(to, load(uint16_t{}));
    case Kind::uint32:
      return store_be(to, load(uint32_t{}));
    case Kind::uint64:
      return store_be(to, load(uint64_t{}));
    case Kind::float32:
      return store_be(to, float_bits<float, uint32_t>(load(float{})));
    case Kind::float64:
      return store_be(to, float_bits<double, uint64_t>(load(double{})));
    case Kind::int128:
      return store_wide(to, static_cast<unsigned __int128>(load(__int128{})) ^ kTopBit);
    case Kind::uint128:
      return store_wide(to, load(static_cast<unsigned __int128>(0)));
    case Kind::interval:
      return store_wide(
          to,
          static_cast<unsigned __int128>(interval_micros(load(duckdb::interval_t{}))) ^ kTopBit);
    case Kind::time_tz: {
      auto bits = load(uint64_t{});
      store_be(to, time_tz_sort_key(bits));
      store_be(to + 8, bits);
      return;
    }
    case Kind::bytes:
    case Kind::nested:
      return;
  }
}

/// The inverse of store_fixed.
void load_fixed(Kind kind, const char* from, void* to) {
  auto put = [&](auto value) { std::memcpy(to, &value, sizeof value); };
  switch (kind) {
    case Kind::boolean:
    case Kind::uint8:
      return put(*from);
    case Kind::int8:
      return put(load_signed<int8_t>(from));
    case Kind::int16:
      return put(load_signed<int16_t>(from));
    case Kind::int32:
      return put(load_signed<int32_t>(from));
    case Kind::int64:
      return put(load_signed<int64_t>(from));
    case Kind::uint16:
      return put(load_be<uint16_t>(from));
    case Kind::uint32:
      return put(load_be<uint32_t>(from));
    case Kind::uint64:
      return put(load_be<uint64_t>(from));
    case Kind::float32:
      return put(float_value<float, uint32_t>(load_be<uint32_t>(from)));
    case Kind::float64:
      return put(float_value<double, uint64_t>(load_be<uint64_t>(from)));
    case Kind::int128:
      return put(static_cast<__int128>(load_wide(from) ^ kTopBit));
    case Kind::uint128:
      return put(load_wide(from));
    case Kind::interval:
      return put(interval_of(static_cast<__int128>(load_wide(from) ^ kTopBit)));
    case Kind::time_tz:
      return put(load_be<uint64_t>(from + 8));
    case Kind::bytes:
    case Kind::nested:
      return;
  }
}

/// Bytes in a key: 0x00 becomes 00 FF, the end is 00 00; so a prefix sorts before what it begins.
size_t escaped_size(const char* data, size_t size) {
  return size + static_cast<size_t>(std::count(data, data + size, '\0')) + 2;
}
char* store_escaped(const char* data, size_t size, char* to) {
  const char* end = data + size;
  while (data < end) {
    const auto* zero =
        static_cast<const char*>(std::memchr(data, 0, static_cast<size_t>(end - data)));
    const char* stop = zero == nullptr ? end : zero;
    std::memcpy(to, data, static_cast<size_t>(stop - data));
    to += stop - data;
    data = stop;
    if (zero != nullptr) {
      *to++ = 0;
      *to++ = static_cast<char>(0xFF);
      ++data;
    }
  }
  *to++ = 0;
  *to++ = 0;
  return to;
}

Status cut_key() { return Error(Code::corrupt, "a row key ends too early or has an unknown mark"); }
Status cut_row() { return Error(Code::corrupt, "an encoded row ends too early"); }

duckdb::string_t add_string(duckdb::Vector& vector, std::string_view text) {
  return duckdb::StringVector::AddStringOrBlob(vector, text.data(), text.size());
}

void set_null(duckdb::Vector& vector, size_t row) {
  duckdb::FlatVector::SetNull(vector, row, true);
}

std::string unescape(const char*& from, const char* end, bool& ok) {
  std::string text;
  while (true) {
    const auto* zero =
        static_cast<const char*>(std::memchr(from, 0, static_cast<size_t>(end - from)));
    if (zero == nullptr || zero + 1 >= end) {
      ok = false;
      return text;
    }
    text.append(from, zero);
    from = zero + 2;
    if (zero[1] == 0) return text;
    ok = ok && zero[1] == static_cast<char>(0xFF);
    text.push_back('\0');
  }
}

Status unsound(const duckdb::LogicalType& type) {
  return Error(Code::corrupt, "encoded bytes have a {} that is none", type.ToString());
}

/// Whether the ordered form at `from` is the one that store_fixed() gives to its value.
bool is_canonical(Kind kind, const char* from) {
  if (kind < Kind::float32 || kind > Kind::time_tz) return true;
  char value[sizeof(duckdb::interval_t)];
  char again[sizeof(duckdb::interval_t)];
  load_fixed(kind, from, value);
  store_fixed(kind, value, again);
  return std::memcmp(from, again, fixed_width(kind)) == 0;
}

}  // namespace

namespace detail {
struct ColumnCodec {
  Kind kind;
  uint8_t width = 0;  ///< Of the key form; 0: variable.
  uint8_t physical_width = 0;
  duckdb::LogicalType type;
};
}  // namespace detail

namespace {

using detail::ColumnCodec;

Result<std::vector<ColumnCodec>> make_codecs(const duckdb::vector<duckdb::LogicalType>& types,
                                             bool nested) {
  std::vector<ColumnCodec> codecs;
  for (const auto& type : types) {
    auto kind = kind_of(type);
    bool big = type.id() == LogicalTypeId::BIGNUM;
    if (!kind || (!nested && (*kind == Kind::nested || big))) {
      return Error(Code::unsupported, "a column of type {} cannot be {}", type.ToString(),
                   nested ? "kept in state" : "a key, a group or a row identity");
    }
    auto physical = *kind == Kind::bytes || *kind == Kind::nested
                        ? 0
                        : duckdb::GetTypeIdSize(type.InternalType());
    codecs.push_back(
        {*kind, static_cast<uint8_t>(fixed_width(*kind)), static_cast<uint8_t>(physical), type});
  }
  return codecs;
}

/// Calls `body(row, pointer or null)` for each row.
template <typename Body>
void for_each_value(const duckdb::UnifiedVectorFormat& format, size_t rows, size_t stride,
                    Body body) {
  const auto* data = reinterpret_cast<const char*>(format.data);
  if (format.validity.AllValid()) {
    for (size_t row = 0; row < rows; ++row) body(row, data + format.sel->get_index(row) * stride);
    return;
  }
  for (size_t row = 0; row < rows; ++row) {
    auto index = format.sel->get_index(row);
    body(row, format.validity.RowIsValid(index) ? data + index * stride : nullptr);
  }
}

std::string_view text_at(const char* pointer) {
  const auto* text = reinterpret_cast<const duckdb::string_t*>(pointer);
  return {text->GetData(), text->GetSize()};
}

/// Turns sizes per row (in starts[row + 1]) into starts and cursors.
size_t lay_out(std::vector<size_t>& starts, std::vector<size_t>& cursors, size_t rows) {
  for (size_t row = 0; row < rows; ++row) starts[row + 1] += starts[row];
  cursors.assign(starts.begin(), starts.begin() + static_cast<ptrdiff_t>(rows));
  return starts[rows];
}

// A nested value inside a row: a flag byte (0: NULL), then by type: fixed bytes; varint length and
// bytes; varint count and children (LIST, MAP, ARRAY); children (STRUCT).
void encode_nested(const duckdb::Value& value, const duckdb::LogicalType& type, ByteWriter& out);

void encode_children(const duckdb::vector<duckdb::Value>& children,
                     const duckdb::LogicalType& child_type, ByteWriter& out) {
  out.varint(children.size());
  for (const auto& child : children) encode_nested(child, child_type, out);
}

void encode_nested(const duckdb::Value& value, const duckdb::LogicalType& type, ByteWriter& out) {
  out.le<uint8_t>(value.IsNull() ? 0 : 1);
  if (value.IsNull()) return;
  switch (type.InternalType()) {
    case PhysicalType::LIST:
      return encode_children(duckdb::ListValue::GetChildren(value),
                             duckdb::ListType::GetChildType(type), out);
    case PhysicalType::ARRAY:
      return encode_children(duckdb::ArrayValue::GetChildren(value),
                             duckdb::ArrayType::GetChildType(type), out);
    case PhysicalType::STRUCT: {
      const auto& children = duckdb::StructValue::GetChildren(value);
      const auto& fields = duckdb::StructType::GetChildTypes(type);
      for (size_t i = 0; i < fields.size(); ++i) encode_nested(children[i], fields[i].second, out);
      return;
    }
    case PhysicalType::VARCHAR:
      return out.sized(duckdb::StringValue::Get(value));
    default: {
      duckdb::Vector vector(value);
      out.raw(std::string_view(reinterpret_cast<const char*>(vector.GetData()),
                               duckdb::GetTypeIdSize(type.InternalType())));
    }
  }
}

duckdb::Value decode_nested(ByteReader& in, const duckdb::LogicalType& type);

duckdb::vector<duckdb::Value> decode_children(ByteReader& in,
                                              const duckdb::LogicalType& child_type) {
  duckdb::vector<duckdb::Value> children;
  auto count = in.varint();
  if (count > in.remaining())
    in.raw(count);  // Each child takes a byte or more: this turns the reader bad.
  for (uint64_t i = 0; i < count && in.ok(); ++i) children.push_back(decode_nested(in, child_type));
  return children;
}

duckdb::Value decode_nested(ByteReader& in, const duckdb::LogicalType& type) {
  if (in.le<uint8_t>() == 0) return duckdb::Value(type);
  switch (type.InternalType()) {
    case PhysicalType::LIST: {
      auto child_type = duckdb::ListType::GetChildType(type);
      auto children = decode_children(in, child_type);
      return type.id() == LogicalTypeId::MAP ? duckdb::Value::MAP(child_type, std::move(children))
                                             : duckdb::Value::LIST(child_type, std::move(children));
    }
    case PhysicalType::ARRAY: {
      auto children = decode_children(in, duckdb::ArrayType::GetChildType(type));
      if (children.size() != duckdb::ArrayType::GetSize(type)) in.raw(SIZE_MAX);  // Turns it bad.
      if (!in.ok()) return duckdb::Value(type);
      return duckdb::Value::ARRAY(duckdb::ArrayType::GetChildType(type), std::move(children));
    }
    case PhysicalType::STRUCT: {
      duckdb::vector<duckdb::Value> children;
      for (const auto& field : duckdb::StructType::GetChildTypes(type)) {
        children.push_back(decode_nested(in, field.second));
      }
      return duckdb::Value::STRUCT(type, std::move(children));
    }
    case PhysicalType::VARCHAR: {
      auto text = in.sized();
      if (!is_sound_bytes(type, text)) in.raw(SIZE_MAX);
      if (!in.ok()) return duckdb::Value(type);
      duckdb::Vector vector(type, 1);
      duckdb::FlatVector::GetData<duckdb::string_t>(vector)[0] = add_string(vector, text);
      return vector.GetValue(0);
    }
    default: {
      auto raw = in.raw(duckdb::GetTypeIdSize(type.InternalType()));
      if (in.ok() && !is_sound_fixed(type, raw.data())) in.raw(SIZE_MAX);
      if (!in.ok()) return duckdb::Value(type);
      duckdb::Vector vector(type, 1);
      std::memcpy(vector.GetData(), raw.data(), raw.size());
      return vector.GetValue(0);
    }
  }
}

}  // namespace

RowKeyEncoder::RowKeyEncoder(std::vector<ColumnCodec> codecs) : codecs_(std::move(codecs)) {}
RowKeyEncoder::RowKeyEncoder(RowKeyEncoder&&) noexcept = default;
RowKeyEncoder& RowKeyEncoder::operator=(RowKeyEncoder&&) noexcept = default;
RowKeyEncoder::~RowKeyEncoder() = default;
size_t RowKeyEncoder::columns() const { return codecs_.size(); }

Result<RowKeyEncoder> RowKeyEncoder::create(const duckdb::vector<duckdb::LogicalType>& types) {
  return RowKeyEncoder(TRY(make_codecs(types, false)));
}

void RowKeyEncoder::encode(duckdb::DataChunk& chunk, std::span<const size_t> columns,
                           ByteBlock& out) const {
  CHECK(columns.size() == codecs_.size());
  const size_t rows = chunk.size();
  size_t fixed = 0;
  for (const auto& codec : codecs_) fixed += codec.width == 0 ? 1 : 1 + codec.width;
  out.starts_.assign(rows + 1, fixed);
  out.starts_[0] = 0;
  std::vector<duckdb::UnifiedVectorFormat> formats(columns.size());
  for (size_t i = 0; i < columns.size(); ++i) {
    chunk.data[columns[i]].ToUnifiedFormat(rows, formats[i]);
    if (codecs_[i].kind != Kind::bytes) continue;
    for_each_value(formats[i], rows, sizeof(duckdb::string_t), [&](size_t row, const char* value) {
      if (value == nullptr) return;
      auto text = text_at(value);
      out.starts_[row + 1] += escaped_size(text.data(), text.size());
    });
  }
  out.bytes_.resize(lay_out(out.starts_, out.cursors_, rows));
  for (size_t i = 0; i < columns.size(); ++i) {
    const auto& codec = codecs_[i];
    if (codec.kind == Kind::bytes) {
      for_each_value(formats[i], rows, sizeof(duckdb::string_t),
                     [&](size_t row, const char* value) {
                       char* to = out.bytes_.data() + out.cursors_[row];
                       char* begin = to;
                       *to++ = value == nullptr ? kNullMark : kValueMark;
                       if (value != nullptr) {
                         auto text = text_at(value);
                         to = store_escaped(text.data(), text.size(), to);
                       }
                       out.cursors_[row] += static_cast<size_t>(to - begin);
                     });
      continue;
    }
    for_each_value(formats[i], rows, codec.physical_width, [&](size_t row, const char* value) {
      char* to = out.bytes_.data() + out.cursors_[row];
      out.cursors_[row] += 1 + codec.width;
      *to = value == nullptr ? kNullMark : kValueMark;
      if (value == nullptr) {
        std::memset(to + 1, 0, codec.width);
      } else {
        store_fixed(codec.kind, value, to + 1);
      }
    });
  }
}

void RowKeyEncoder::encode(duckdb::DataChunk& chunk, const std::vector<size_t>& columns,
                           std::vector<std::string>& out) const {
  ByteBlock block;
  encode(chunk, std::span<const size_t>(columns), block);
  out.resize(block.size());
  for (size_t row = 0; row < block.size(); ++row) out[row] = block[row];
}

void RowKeyEncoder::encode_value(size_t column, const duckdb::Value& value,
                                 std::string& out) const {
  const auto& codec = codecs_[column];
  out.push_back(value.IsNull() ? kNullMark : kValueMark);
  if (value.IsNull()) {
    out.append(codec.width, '\0');
    return;
  }
  duckdb::Vector vector(value);
  const auto* data = reinterpret_cast<const char*>(vector.GetData());
  size_t begin = out.size();
  if (codec.kind == Kind::bytes) {
    auto text = text_at(data);
    out.resize(begin + escaped_size(text.data(), text.size()));
    store_escaped(text.data(), text.size(), out.data() + begin);
    return;
  }
  out.resize(begin + codec.width);
  store_fixed(codec.kind, data, out.data() + begin);
}

Status RowKeyEncoder::decode(std::string_view key, duckdb::DataChunk& out, size_t first,
                             size_t row) const {
  std::vector<ColumnTarget> targets(codecs_.size());
  for (size_t i = 0; i < targets.size(); ++i) targets[i] = static_cast<ColumnTarget>(first + i);
  if (TRY(decode_columns(key, targets, out, row)) != key.size()) {
    return Error(Code::corrupt, "a row key has bytes after its last column");
  }
  return {};
}

Result<size_t> RowKeyEncoder::decode_columns(std::string_view key,
                                             std::span<const ColumnTarget> targets,
                                             duckdb::DataChunk& out, size_t row) const {
  const char* from = key.data();
  const char* end = from + key.size();
  for (size_t i = 0; i < codecs_.size(); ++i) {
    const auto& codec = codecs_[i];
    if (end - from < 1 + codec.width) return cut_key().error();
    char mark = *from++;
    if (mark != kValueMark && mark != kNullMark) return cut_key().error();
    duckdb::Vector* vector =
        targets[i] == kSkip ? nullptr : &out.data[static_cast<size_t>(targets[i])];
    if (mark == kNullMark) {
      if (!std::all_of(from, from + codec.width, [](char byte) { return byte == 0; }))
        return unsound(codec.type).error();
      from += codec.width;
      if (vector != nullptr) set_null(*vector, row);
      continue;
    }
    if (codec.kind == Kind::bytes) {
      const auto* zero =
          static_cast<const char*>(std::memchr(from, 0, static_cast<size_t>(end - from)));
      if (zero != nullptr && zero + 1 < end && zero[1] == 0) {  // No zero byte inside: no copy.
        std::string_view text(from, static_cast<size_t>(zero - from));
        if (vector != nullptr) {
          if (!is_sound_bytes(codec.type, text)) return unsound(codec.type).error();
          duckdb::FlatVector::GetData<duckdb::string_t>(*vector)[row] = add_string(*vector, text);
        }
        from = zero + 2;
        continue;
      }
      bool ok = true;
      auto text = unescape(from, end, ok);
      if (!ok) return cut_key().error();
      if (vector != nullptr) {
        if (!is_sound_bytes(codec.type, text)) return unsound(codec.type).error();
        duckdb::FlatVector::GetData<duckdb::string_t>(*vector)[row] = add_string(*vector, text);
      }
      continue;
    }
    if (vector != nullptr) {
      auto* value = vector->GetData() + row * codec.physical_width;
      load_fixed(codec.kind, from, value);
      if (!is_canonical(codec.kind, from) || !is_sound_fixed(codec.type, value))
        return unsound(codec.type).error();
    }
    from += codec.width;
  }
  return static_cast<size_t>(from - key.data());
}

std::string RowKeyEncoder::after_prefix(std::string_view prefix) {
  std::string after(prefix);
  while (!after.empty() && static_cast<uint8_t>(after.back()) == 0xFF) after.pop_back();
  if (!after.empty()) after.back() = static_cast<char>(static_cast<uint8_t>(after.back()) + 1);
  return after;
}

RowEncoder::RowEncoder(std::vector<ColumnCodec> codecs) : codecs_(std::move(codecs)) {}
RowEncoder::RowEncoder(RowEncoder&&) noexcept = default;
RowEncoder& RowEncoder::operator=(RowEncoder&&) noexcept = default;
RowEncoder::~RowEncoder() = default;
size_t RowEncoder::columns() const { return codecs_.size(); }

Result<RowEncoder> RowEncoder::create(const duckdb::vector<duckdb::LogicalType>& types) {
  return RowEncoder(TRY(make_codecs(types, true)));
}

namespace {

size_t varint_size(uint64_t value) {
  size_t size = 1;
  for (; value >= 0x80; value >>= 7) ++size;
  return size;
}
char* store_varint(char* to, uint64_t value) {
  for (; value >= 0x80; value >>= 7) *to++ = static_cast<char>(value | 0x80);
  *to++ = static_cast<char>(value);
  return to;
}

}  // namespace

void RowEncoder::encode(duckdb::DataChunk& chunk, std::span<const size_t> columns,
                        ByteBlock& out) const {
  CHECK(columns.size() == codecs_.size());
  const size_t rows = chunk.size();
  const size_t bitmap = (columns.size() + 7) / 8;
  out.starts_.assign(rows + 1, bitmap);
  out.starts_[0] = 0;
  std::vector<duckdb::UnifiedVectorFormat> formats(columns.size());
  std::vector<std::vector<Bytes>> nested(columns.size());
  for (size_t i = 0; i < columns.size(); ++i) {
    auto& vector = chunk.data[columns[i]];
    const auto& codec = codecs_[i];
    if (codec.kind == Kind::nested) {
      nested[i].resize(rows);
      for (size_t row = 0; row < rows; ++row) {
        auto value = vector.GetValue(row);
        if (value.IsNull()) continue;
        ByteWriter writer;
        encode_nested(value, codec.type, writer);
        nested[i][row] = writer.take();
        out.starts_[row + 1] += nested[i][row].size();
      }
      continue;
    }
    vector.ToUnifiedFormat(rows, formats[i]);
    bool text = codec.kind == Kind::bytes;
    for_each_value(formats[i], rows, text ? sizeof(duckdb::string_t) : codec.physical_width,
                   [&](size_t row, const char* value) {
                     if (value == nullptr) return;
                     size_t size = codec.physical_width;
                     if (text) {
                       size = text_at(value).size();
                       size += varint_size(size);
                     }
                     out.starts_[row + 1] += size;
                   });
  }
  out.bytes_.resize(lay_out(out.starts_, out.cursors_, rows));
  for (size_t row = 0; row < rows; ++row) {
    std::memset(out.bytes_.data() + out.cursors_[row], 0, bitmap);
    out.cursors_[row] += bitmap;
  }
  for (size_t i = 0; i < columns.size(); ++i) {
    const auto& codec = codecs_[i];
    auto mark_null = [&](size_t row) {
      out.bytes_[out.starts_[row] + i / 8] |= static_cast<char>(1 << (i % 8));
    };
    if (codec.kind == Kind::nested) {
      for (size_t row = 0; row < rows; ++row) {
        const auto& bytes = nested[i][row];
        if (bytes.empty()) {
          mark_null(row);
          continue;
        }
        std::memcpy(out.bytes_.data() + out.cursors_[row], bytes.data(), bytes.size());
        out.cursors_[row] += bytes.size();
      }
      continue;
    }
    bool text = codec.kind == Kind::bytes;
    for_each_value(formats[i], rows, text ? sizeof(duckdb::string_t) : codec.physical_width,
                   [&](size_t row, const char* value) {
                     if (value == nullptr) return mark_null(row);
                     char* to = out.bytes_.data() + out.cursors_[row];
                     if (!text) {
                       std::memcpy(to, value, codec.physical_width);
                       out.cursors_[row] += codec.physical_width;
                       return;
                     }
                     auto view = text_at(value);
                     char* body = store_varint(to, view.size());
                     if (!view.empty()) std::memcpy(body, view.data(), view.size());
                     out.cursors_[row] += static_cast<size_t>(body - to) + view.size();
                   });
  }
}

void RowEncoder::encode(duckdb::DataChunk& chunk, const std::vector<size_t>& columns,
                        std::vector<std::string>& out) const {
  ByteBlock block;
  encode(chunk, std::span<const size_t>(columns), block);
  out.resize(block.size());
  for (size_t row = 0; row < block.size(); ++row) out[row] = block[row];
}

namespace {

/// DuckDB throws on values that no encoder wrote, e.g. text that is not UTF-8.
Status decode_nested_column(ByteReader& in, const duckdb::LogicalType& type, duckdb::Vector* vector,
                            size_t row) {
  try {
    auto value = decode_nested(in, type);
    if (in.ok() && vector != nullptr) vector->SetValue(row, value);
    return {};
  } catch (const std::exception&) {
    return Error(Code::corrupt, "an encoded row has a {} that is none", type.ToString());
  }
}

}  // namespace

Status RowEncoder::decode(std::string_view row_bytes, duckdb::DataChunk& out, size_t first,
                          size_t row) const {
  std::vector<ColumnTarget> targets(codecs_.size());
  for (size_t i = 0; i < targets.size(); ++i) targets[i] = static_cast<ColumnTarget>(first + i);
  return decode_columns(row_bytes, targets, out, row);
}

Status RowEncoder::decode_columns(std::string_view row_bytes, std::span<const ColumnTarget> targets,
                                  duckdb::DataChunk& out, size_t row) const {
  const size_t bitmap = (codecs_.size() + 7) / 8;
  if (row_bytes.size() < bitmap) return cut_row();
  ByteReader in(as_bytes(row_bytes.substr(bitmap)));
  for (size_t i = 0; i < codecs_.size(); ++i) {
    const auto& codec = codecs_[i];
    duckdb::Vector* vector =
        targets[i] == kSkip ? nullptr : &out.data[static_cast<size_t>(targets[i])];
    if ((row_bytes[i / 8] >> (i % 8) & 1) != 0) {
      if (vector != nullptr) set_null(*vector, row);
      continue;
    }
    if (codec.kind == Kind::nested) {
      TRY(decode_nested_column(in, codec.type, vector, row));
    } else if (codec.kind == Kind::bytes) {
      auto text = in.sized();
      if (in.ok() && vector != nullptr) {
        if (!is_sound_bytes(codec.type, text)) return unsound(codec.type);
        duckdb::FlatVector::GetData<duckdb::string_t>(*vector)[row] = add_string(*vector, text);
      }
    } else {
      auto raw = in.raw(codec.physical_width);
      if (in.ok() && vector != nullptr) {
        if (!is_sound_fixed(codec.type, raw.data())) return unsound(codec.type);
        std::memcpy(vector->GetData() + row * codec.physical_width, raw.data(),
                    codec.physical_width);
      }
    }
    if (!in.ok()) return cut_row();
  }
  if (in.remaining() != 0)
    return Error(Code::corrupt, "an encoded row has bytes after its last column");
  return {};
}

float normal_value(float value) {
  return float_value<float, uint32_t>(float_bits<float, uint32_t>(value));
}
double normal_value(double value) {
  return float_value<double, uint64_t>(float_bits<double, uint64_t>(value));
}
duckdb::interval_t normal_value(duckdb::interval_t value) {
  return interval_of(interval_micros(value));
}

}  // namespace ziwa::data
