// Avro records: the binary encoding of avro_schema(), without header. Types:
// docs/formats/records.md.
#include "data/cell_internal.h"
#include "data/text_values_internal.h"

#include <simdjson.h>

#include <cmath>

namespace ziwa::data {
namespace {

constexpr int kDepthMax = 64;

template <typename T>
T load(const void* raw) {
  T value;
  std::memcpy(&value, raw, sizeof value);
  return value;
}

/// Whether a short text is; a long one is left to who knows UTF-8.
bool is_ascii(std::string_view text) {
  constexpr size_t kShort = 64;
  if (text.size() > kShort) return false;
  uint64_t bits = 0;
  size_t at = 0;
  for (; at + 8 <= text.size(); at += 8) bits |= load<uint64_t>(text.data() + at);
  for (; at < text.size(); ++at) bits |= static_cast<unsigned char>(text[at]);
  return (bits & 0x8080808080808080) == 0;
}

bool is_avro_name(std::string_view name) {
  auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  if (name.empty() || !letter(name[0])) return false;
  return std::ranges::all_of(name, [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

/// The Avro type (JSON text) of a cell that is not NULL. `name` makes names of records unique.
Result<std::string> avro_type(const CellType& cell, const std::string& name);

std::string nullable(const std::string& type) { return R"(["null",)" + type + "]"; }

std::string logical(std::string_view base, std::string_view logical_type) {
  return fmt::format(R"({{"type":"{}","logicalType":"{}"}})", base, logical_type);
}

Result<std::string> avro_record(const std::string& name, const std::vector<std::string>& names,
                                const std::vector<const CellType*>& cells) {
  if (!is_avro_name(name)) {
    return Error(Code::invalid_argument, "\"{}\" cannot be the name of an Avro record", name);
  }
  std::string fields;
  for (size_t i = 0; i < names.size(); ++i) {
    if (!is_avro_name(names[i])) {
      return Error(Code::unsupported, "\"{}\" cannot be the name of an Avro field", names[i])
          .with_hint("Avro names have letters, digits and underscores");
    }
    std::string type = TRY(avro_type(*cells[i], name + "_" + names[i]));
    fields += fmt::format(R"({}{{"name":"{}","type":{},"default":null}})", i == 0 ? "" : ",",
                          names[i], nullable(type));
  }
  return fmt::format(R"({{"type":"record","name":"{}","fields":[{}]}})", name, fields);
}

Result<std::string> avro_type(const CellType& cell, const std::string& name) {
  switch (cell.kind) {
    case CellKind::boolean:
      return std::string(R"("boolean")");
    case CellKind::int8:
    case CellKind::int16:
    case CellKind::int32:
    case CellKind::uint8:
    case CellKind::uint16:
      return std::string(R"("int")");
    case CellKind::uint32:
    case CellKind::int64:
      return std::string(R"("long")");
    case CellKind::uint64:
    case CellKind::int128:
    case CellKind::text:
      return std::string(R"("string")");
    case CellKind::float32:
      return std::string(R"("float")");
    case CellKind::float64:
      return std::string(R"("double")");
    case CellKind::decimal16:
    case CellKind::decimal32:
    case CellKind::decimal64:
    case CellKind::decimal128:
      return fmt::format(R"({{"type":"bytes","logicalType":"decimal","precision":{},"scale":{}}})",
                         cell.width, cell.scale);
    case CellKind::date:
      return logical("int", "date");
    case CellKind::time:
      return logical("long", "time-micros");
    case CellKind::timestamp:
      return logical("long", "local-timestamp-micros");
    case CellKind::timestamp_tz:
      return logical("long", "timestamp-micros");
    case CellKind::uuid:
      return logical("string", "uuid");
    case CellKind::blob:
      return std::string(R"("bytes")");
    case CellKind::list: {
      std::string element = TRY(avro_type(cell.children[0], name + "_element"));
      return fmt::format(R"({{"type":"array","items":{}}})", nullable(element));
    }
    case CellKind::structure: {
      std::vector<const CellType*> cells;
      for (const auto& child : cell.children) cells.push_back(&child);
      return avro_record(name, cell.members, cells);
    }
  }
  return Error(Code::unsupported, "Avro does not carry {}", cell.name());
}

/// Reads one record after the other into cells. One thread.
class AvroReader {
 public:
  explicit AvroReader(const std::vector<CodecColumn>& columns) : columns_(columns) {}

  bool read(ByteView bytes, CellWriter& cells, size_t row) {
    at_ = reinterpret_cast<const uint8_t*>(bytes.data());
    end_ = at_ + bytes.size();
    for (column_ = 0; column_ < columns_.size(); ++column_) {
      if (!read_cell(columns_[column_], cells, row)) return false;
    }
    if (at_ == end_) return true;
    reason_ = fmt::format("{} bytes follow the record", left());
    return false;
  }
  const std::string& reason() const { return reason_; }

 private:
  bool refuse(std::string_view why) {
    reason_ = fmt::format("field \"{}\": {}", columns_[column_].name, why);
    return false;
  }

  bool read_cell(const CodecColumn& column, CellWriter& cells, size_t row) {
    bool is_null = false;
    if (!read_union(is_null)) return false;
    if (is_null) {
      if (column.not_null) return refuse("is null, and may not be NULL");
      cells.null(column_, row);
      return true;
    }
    if (column.cell.is_fixed()) return read_fixed(column.cell, cells.fixed(column_, row));
    if (!column.cell.is_nested()) {
      std::string_view text;
      if (!read_text(column.cell, text)) return false;
      cells.text(column_, row, text);
      return true;
    }
    duckdb::Value value;
    if (!read_nested(column.cell, 1, value)) return false;
    cells.value(column_, row, value);
    return true;
  }

  size_t left() const { return static_cast<size_t>(end_ - at_); }

  bool read_byte(uint8_t& byte) {
    if (at_ == end_) return refuse("the record ends too early");
    byte = *at_++;
    return true;
  }

  [[gnu::always_inline]] bool read_long(int64_t& number) {
    constexpr size_t kLongBytesMax = 10;
    if (left() < kLongBytesMax) return read_long_slowly(number);
    const uint8_t* at = at_;
    uint64_t value = *at & 0x7F;
    for (int shift = 7; *at >= 0x80; shift += 7) {
      if (shift == 70) return read_long_slowly(number);
      value |= static_cast<uint64_t>(*++at & 0x7F) << shift;
    }
    if (at - at_ == kLongBytesMax - 1 && *at > 1) return read_long_slowly(number);
    at_ = at + 1;
    number = unzigzag(value);
    return true;
  }

  /// Near the end of the record, or of too many bits.
  [[gnu::noinline]] bool read_long_slowly(int64_t& number) {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      uint8_t byte = 0;
      if (!read_byte(byte)) return false;
      if (shift == 63 && byte > 1) break;
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) {
        number = unzigzag(value);
        return true;
      }
    }
    return refuse("a number of more than 64 bits");
  }

  [[gnu::always_inline]] bool read_union(bool& is_null) {
    // Branches 0 and 1, as they are written.
    if (at_ != end_ && (*at_ == 0 || *at_ == 2)) {
      is_null = *at_++ == 0;
      return true;
    }
    return read_union_slowly(is_null);
  }

  [[gnu::noinline]] bool read_union_slowly(bool& is_null) {
    int64_t branch = 0;
    if (!read_long(branch)) return false;
    if (branch != 0 && branch != 1)
      return refuse(fmt::format("the union has no branch {}", branch));
    is_null = branch == 0;
    return true;
  }

  bool read_bytes(std::string_view& bytes) {
    int64_t size = 0;
    if (!read_long(size)) return false;
    if (size < 0 || static_cast<uint64_t>(size) > left()) {
      return refuse(fmt::format("a length of {} with {} bytes left", size, left()));
    }
    bytes = {reinterpret_cast<const char*>(at_), static_cast<size_t>(size)};
    at_ += size;
    return true;
  }

  bool read_text(const CellType& cell, std::string_view& text) {
    if (!read_bytes(text)) return false;
    if (cell.kind == CellKind::blob || is_ascii(text) ||
        simdjson::validate_utf8(text.data(), text.size())) {
      return true;
    }
    return refuse("not UTF-8");
  }

  template <typename T>
  bool read_integer(const CellType& cell, void* into) {
    int64_t wide = 0;
    if (!read_long(wide)) return false;
    if (wide < std::numeric_limits<T>::min() || wide > std::numeric_limits<T>::max()) {
      return refuse(fmt::format("{} is out of range for {}", wide, cell.name()));
    }
    auto narrow = static_cast<T>(wide);
    std::memcpy(into, &narrow, sizeof narrow);
    return true;
  }

  bool read_raw(void* into, size_t size) {
    if (size > left()) return refuse("the record ends too early");
    std::memcpy(into, at_, size);
    at_ += size;
    return true;
  }

  bool read_micros(const CellType& cell, int64_t below, void* into) {
    int64_t micros = 0;
    if (!read_long(micros)) return false;
    bool day = cell.kind == CellKind::time;
    if ((day && (micros < 0 || micros >= below)) ||
        (!day && (micros >= below || micros <= -below))) {
      return refuse(fmt::format("{} is out of range for {}", micros, cell.name()));
    }
    std::memcpy(into, &micros, sizeof micros);
    return true;
  }

  /// Two's complement, big endian, any length.
  bool read_decimal(const CellType& cell, void* into) {
    std::string_view bytes;
    if (!read_bytes(bytes)) return false;
    if (bytes.empty()) return refuse("a decimal without bytes");
    bool negative = (bytes[0] & 0x80) != 0;
    while (bytes.size() > 16 && bytes[0] == (negative ? '\xff' : '\0')) bytes.remove_prefix(1);
    if (bytes.size() > 16 || ((bytes[0] & 0x80) != 0) != negative)
      return refuse("a decimal of more than 128 bits");
    auto number = static_cast<unsigned __int128>(negative ? -1 : 0);
    for (char byte : bytes) number = number << 8 | static_cast<unsigned char>(byte);
    auto value = static_cast<Int128>(number);
    std::string digits;
    append_int128(value, digits);
    if (digits.size() - (negative ? 1 : 0) > static_cast<size_t>(cell.width)) {
      return refuse(fmt::format("more digits than {} has", cell.name()));
    }
    duckdb::hugeint_t wide = to_hugeint(value);
    std::memcpy(into, &wide, cell_bytes(cell.kind));
    return true;
  }

  bool read_number_text(const CellType& cell, void* into) {
    std::string_view text;
    if (!read_bytes(text)) return false;
    auto number = parse_int128(text);
    bool fits =
        number &&
        (cell.kind != CellKind::uint64 ||
         (*number >= 0 && *number <= static_cast<Int128>(std::numeric_limits<uint64_t>::max())));
    if (!fits) return refuse(fmt::format("the string is not a {}", cell.name()));
    duckdb::hugeint_t wide = to_hugeint(*number);
    std::memcpy(into, &wide, cell_bytes(cell.kind));
    return true;
  }

  bool read_fixed(const CellType& cell, void* into) {
    constexpr int64_t kInfinity = std::numeric_limits<int64_t>::max();
    switch (cell.kind) {
      case CellKind::boolean: {
        uint8_t byte = 0;
        if (!read_byte(byte)) return false;
        if (byte > 1) return refuse(fmt::format("{} is not a BOOLEAN", byte));
        std::memcpy(into, &byte, 1);
        return true;
      }
      case CellKind::int8:
        return read_integer<int8_t>(cell, into);
      case CellKind::int16:
        return read_integer<int16_t>(cell, into);
      case CellKind::int32:
        return read_integer<int32_t>(cell, into);
      case CellKind::uint8:
        return read_integer<uint8_t>(cell, into);
      case CellKind::uint16:
        return read_integer<uint16_t>(cell, into);
      case CellKind::uint32:
        return read_integer<uint32_t>(cell, into);
      case CellKind::int64:
        return read_integer<int64_t>(cell, into);
      case CellKind::uint64:
      case CellKind::int128:
        return read_number_text(cell, into);
      case CellKind::float32:
        return read_raw(into, sizeof(float));
      case CellKind::float64:
        return read_raw(into, sizeof(double));
      case CellKind::decimal16:
      case CellKind::decimal32:
      case CellKind::decimal64:
      case CellKind::decimal128:
        return read_decimal(cell, into);
      case CellKind::date:
        return read_date(cell, into);
      case CellKind::time:
        return read_micros(cell, kMicrosPerDay, into);
      case CellKind::timestamp:
      case CellKind::timestamp_tz:
        return read_micros(cell, kInfinity, into);
      case CellKind::uuid: {
        std::string_view text;
        if (!read_bytes(text)) return false;
        auto uuid = parse_uuid(text);
        if (!uuid) return refuse("the string is not a UUID");
        duckdb::hugeint_t stored = to_hugeint(static_cast<Int128>(*uuid ^ kUuidTopBit));
        std::memcpy(into, &stored, sizeof stored);
        return true;
      }
      default:
        return refuse("of a type that Avro does not carry");
    }
  }

  bool read_date(const CellType& cell, void* into) {
    // The ends of the range mean infinity to DuckDB.
    constexpr int32_t kInfinity = std::numeric_limits<int32_t>::max();
    int32_t days = 0;
    if (!read_integer<int32_t>(cell, &days)) return false;
    if (days == kInfinity || days <= -kInfinity) return refuse("out of range for DATE");
    std::memcpy(into, &days, sizeof days);
    return true;
  }

  bool read_nested(const CellType& cell, int depth, duckdb::Value& out) {
    if (depth > kDepthMax) return refuse(fmt::format("nested deeper than {}", kDepthMax));
    if (cell.kind == CellKind::list) return read_list(cell, depth, out);
    if (cell.kind == CellKind::structure) {
      duckdb::vector<duckdb::Value> members;
      for (const auto& child : cell.children) {
        members.emplace_back();
        if (!read_nullable(child, depth + 1, members.back())) return false;
      }
      out = duckdb::Value::STRUCT(cell.type, std::move(members));
      return true;
    }
    if (cell.is_fixed()) {
      alignas(16) std::byte raw[16];
      if (!read_fixed(cell, raw)) return false;
      out = fixed_value(cell, raw);
      return true;
    }
    std::string_view text;
    if (!read_text(cell, text)) return false;
    out = cell.kind == CellKind::blob
              ? duckdb::Value::BLOB(reinterpret_cast<duckdb::const_data_ptr_t>(text.data()),
                                    text.size())
              : duckdb::Value(std::string(text));
    return true;
  }

  bool read_nullable(const CellType& cell, int depth, duckdb::Value& out) {
    bool is_null = false;
    if (!read_union(is_null)) return false;
    if (!is_null) return read_nested(cell, depth, out);
    out = duckdb::Value(cell.type);
    return true;
  }

  /// Blocks of a count and as many elements; a negative count is followed by the size of the block.
  /// Zero ends.
  bool read_list(const CellType& cell, int depth, duckdb::Value& out) {
    duckdb::vector<duckdb::Value> elements;
    for (;;) {
      int64_t count = 0;
      int64_t size = 0;
      if (!read_long(count)) return false;
      if (count == 0) break;
      if (count < 0 && !read_long(size)) return false;
      uint64_t wanted =
          count < 0 ? ~static_cast<uint64_t>(count) + 1 : static_cast<uint64_t>(count);
      // Each element has at least the byte of its union.
      if (wanted > left()) return refuse("an array longer than the record");
      for (uint64_t i = 0; i < wanted; ++i) {
        elements.emplace_back();
        if (!read_nullable(cell.children[0], depth + 1, elements.back())) return false;
      }
    }
    out = duckdb::Value::LIST(cell.children[0].type, std::move(elements));
    return true;
  }

  const std::vector<CodecColumn>& columns_;
  const uint8_t* at_ = nullptr;  ///< In the record.
  const uint8_t* end_ = nullptr;
  size_t column_ = 0;
  std::string reason_;
};

void put_decimal(Int128 number, ByteWriter& out) {
  std::array<std::byte, 16> bytes{};
  for (size_t i = 0; i < 16; ++i) bytes[15 - i] = static_cast<std::byte>(number >> (8 * i));
  // As few bytes as keep the sign.
  size_t first = 0;
  auto sign = static_cast<std::byte>(number < 0 ? 0xFF : 0);
  while (first < 15 && bytes[first] == sign &&
         ((bytes[first + 1] ^ sign) & std::byte{0x80}) == std::byte{0}) {
    ++first;
  }
  out.svarint(static_cast<int64_t>(16 - first));
  out.raw(ByteView(bytes).subspan(first));
}

void put_text(std::string_view text, ByteWriter& out) {
  out.svarint(static_cast<int64_t>(text.size()));
  out.raw(text);
}

void put_fixed(const CellType& cell, const void* raw, ByteWriter& out) {
  std::string text;
  switch (cell.kind) {
    case CellKind::boolean:
      return out.le(static_cast<uint8_t>(load<bool>(raw)));
    case CellKind::int8:
      return out.svarint(load<int8_t>(raw));
    case CellKind::int16:
      return out.svarint(load<int16_t>(raw));
    case CellKind::int32:
    case CellKind::date:
      return out.svarint(load<int32_t>(raw));
    case CellKind::uint8:
      return out.svarint(load<uint8_t>(raw));
    case CellKind::uint16:
      return out.svarint(load<uint16_t>(raw));
    case CellKind::uint32:
      return out.svarint(load<uint32_t>(raw));
    case CellKind::int64:
    case CellKind::time:
    case CellKind::timestamp:
    case CellKind::timestamp_tz:
      return out.svarint(load<int64_t>(raw));
    case CellKind::uint64:
      append_int128(load<uint64_t>(raw), text);
      return put_text(text, out);
    case CellKind::int128:
      append_int128(from_hugeint(load<duckdb::hugeint_t>(raw)), text);
      return put_text(text, out);
    case CellKind::float32:
      return out.le(load<uint32_t>(raw));
    case CellKind::float64:
      return out.le(load<uint64_t>(raw));
    case CellKind::decimal16:
      return put_decimal(load<int16_t>(raw), out);
    case CellKind::decimal32:
      return put_decimal(load<int32_t>(raw), out);
    case CellKind::decimal64:
      return put_decimal(load<int64_t>(raw), out);
    case CellKind::decimal128:
      return put_decimal(from_hugeint(load<duckdb::hugeint_t>(raw)), out);
    case CellKind::uuid:
      append_uuid(
          static_cast<unsigned __int128>(from_hugeint(load<duckdb::hugeint_t>(raw))) ^ kUuidTopBit,
          text);
      return put_text(text, out);
    default:
      CHECK(false, "{} has no fixed size", cell.name());
  }
}

void put_value(const CellType& cell, const duckdb::Value& value, ByteWriter& out) {
  out.svarint(value.IsNull() ? 0 : 1);
  if (value.IsNull()) return;
  if (cell.kind == CellKind::list) {
    const auto& children = duckdb::ListValue::GetChildren(value);
    if (!children.empty()) out.svarint(static_cast<int64_t>(children.size()));
    for (const auto& child : children) put_value(cell.children[0], child, out);
    return out.svarint(0);
  }
  if (cell.kind == CellKind::structure) {
    const auto& children = duckdb::StructValue::GetChildren(value);
    for (size_t i = 0; i < children.size(); ++i) put_value(cell.children[i], children[i], out);
    return;
  }
  if (!cell.is_fixed()) return put_text(duckdb::StringValue::Get(value), out);
  alignas(16) std::byte raw[16];
  store_fixed(cell, value, raw);
  put_fixed(cell, raw, out);
}

class AvroCodec final : public RecordCodec {
 public:
  explicit AvroCodec(std::vector<CodecColumn> columns)
      : columns_(std::move(columns)), reader_(columns_) {}

  size_t decode(std::span<const Record> records, duck::Chunk& out,
                std::vector<uint32_t>& row_record, std::vector<Rejected>& rejected) override {
    cells_.bind(columns_, out.rows);
    return decode_rows(reader_, cells_, records, out, row_record, rejected);
  }

  Status encode(const duck::Chunk& in, std::vector<Bytes>& out) override {
    CellReader cells(columns_, in.rows);
    for (size_t row = 0; row < in.size(); ++row) {
      ByteWriter writer;
      for (size_t i = 0; i < columns_.size(); ++i) put_cell(cells, i, row, writer);
      out.push_back(writer.take());
    }
    return {};
  }

 private:
  void put_cell(const CellReader& cells, size_t column, size_t row, ByteWriter& out) const {
    const CellType& cell = columns_[column].cell;
    bool is_null = cells.is_null(column, row);
    if (!is_null && cell.is_nested()) return put_value(cell, cells.value(column, row), out);
    out.svarint(is_null ? 0 : 1);
    if (is_null) return;
    if (cell.is_fixed()) return put_fixed(cell, cells.fixed(column, row), out);
    put_text(cells.text(column, row), out);
  }

  std::vector<CodecColumn> columns_;
  AvroReader reader_;
  CellWriter cells_;
};

Result<std::string> schema_of(const std::vector<CodecColumn>& columns,
                              const std::string& record_name) {
  std::vector<std::string> names;
  std::vector<const CellType*> cells;
  for (const auto& column : columns) {
    names.push_back(column.name);
    cells.push_back(&column.cell);
  }
  return avro_record(record_name, names, cells);
}

}  // namespace

Result<std::unique_ptr<RecordCodec>> make_avro_codec(std::vector<CodecColumn> columns) {
  TRY(schema_of(columns, "record"));  // Refuses names that Avro cannot have.
  return std::make_unique<AvroCodec>(std::move(columns));
}

Result<std::string> avro_schema(const Schema& schema, const std::string& record_name) {
  return schema_of(TRY(make_codec_columns(schema)), record_name);
}

}  // namespace ziwa::data
