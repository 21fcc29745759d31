// JSON records: one object per record, a key per column. What the texts look like:
// docs/formats/records.md.
#include "data/cell_internal.h"
#include "data/json_reader_internal.h"
#include "data/text_values_internal.h"

#include <charconv>
#include <cmath>

namespace ziwa::data {
namespace {

template <typename T>
T load(const void* raw) {
  T value;
  std::memcpy(&value, raw, sizeof value);
  return value;
}

template <typename T>
void append_number(T number, std::string& out) {
  char text[64];
  auto end = std::to_chars(text, text + sizeof text, number).ptr;
  out.append(text, static_cast<size_t>(end - text));
}

/// The reason why a value has no JSON, or empty.
using Refusal = std::string_view;

template <typename T>
Refusal append_real(T number, std::string& out) {
  if (!std::isfinite(number)) return "NaN and infinity have no JSON";
  append_number(number, out);
  return {};
}

Refusal append_quoted_timestamp(int64_t micros, bool zoned, std::string& out) {
  out += '"';
  if (!append_timestamp(micros, out)) return "outside of the years 0001 to 9999";
  out += zoned ? "Z\"" : "\"";
  return {};
}

Int128 load_decimal(const CellType& cell, const void* raw) {
  switch (cell.kind) {
    case CellKind::decimal16:
      return load<int16_t>(raw);
    case CellKind::decimal32:
      return load<int32_t>(raw);
    case CellKind::decimal64:
      return load<int64_t>(raw);
    default:
      return from_hugeint(load<duckdb::hugeint_t>(raw));
  }
}

Refusal append_fixed(const CellType& cell, const void* raw, std::string& out) {
  switch (cell.kind) {
    case CellKind::boolean:
      out += load<bool>(raw) ? "true" : "false";
      return {};
    case CellKind::int8:
      append_number(load<int8_t>(raw), out);
      return {};
    case CellKind::int16:
      append_number(load<int16_t>(raw), out);
      return {};
    case CellKind::int32:
      append_number(load<int32_t>(raw), out);
      return {};
    case CellKind::int64:
      append_number(load<int64_t>(raw), out);
      return {};
    case CellKind::uint8:
      append_number(load<uint8_t>(raw), out);
      return {};
    case CellKind::uint16:
      append_number(load<uint16_t>(raw), out);
      return {};
    case CellKind::uint32:
      append_number(load<uint32_t>(raw), out);
      return {};
    case CellKind::uint64:
      append_number(load<uint64_t>(raw), out);
      return {};
    case CellKind::int128:
      append_int128(load_decimal(cell, raw), out);
      return {};
    case CellKind::float32:
      return append_real(load<float>(raw), out);
    case CellKind::float64:
      return append_real(load<double>(raw), out);
    case CellKind::decimal16:
    case CellKind::decimal32:
    case CellKind::decimal64:
    case CellKind::decimal128:
      append_decimal(load_decimal(cell, raw), cell.scale, out);
      return {};
    case CellKind::date:
      out += '"';
      if (!append_date(load<int32_t>(raw), out)) return "outside of the years 0001 to 9999";
      out += '"';
      return {};
    case CellKind::time:
      out += '"';
      append_time(load<int64_t>(raw), out);
      out += '"';
      return {};
    case CellKind::timestamp:
      return append_quoted_timestamp(load<int64_t>(raw), false, out);
    case CellKind::timestamp_tz:
      return append_quoted_timestamp(load<int64_t>(raw), true, out);
    case CellKind::uuid:
      out += '"';
      append_uuid(static_cast<unsigned __int128>(load_decimal(cell, raw)) ^ kUuidTopBit, out);
      out += '"';
      return {};
    default:
      return "of a type that JSON does not carry";
  }
}

void append_text(const CellType& cell, std::string_view text, std::string& out) {
  if (cell.kind == CellKind::text) return append_json_string(text, out);
  out += '"';
  append_base64(text, out);
  out += '"';
}

Refusal append_value(const CellType& cell, const duckdb::Value& value, std::string& out) {
  if (value.IsNull()) {
    out += "null";
    return {};
  }
  if (cell.is_fixed()) {
    alignas(16) std::byte raw[16];
    store_fixed(cell, value, raw);
    return append_fixed(cell, raw, out);
  }
  if (!cell.is_nested()) {
    append_text(cell, duckdb::StringValue::Get(value), out);
    return {};
  }
  bool list = cell.kind == CellKind::list;
  const auto& children =
      list ? duckdb::ListValue::GetChildren(value) : duckdb::StructValue::GetChildren(value);
  out += list ? '[' : '{';
  for (size_t i = 0; i < children.size(); ++i) {
    if (i > 0) out += ',';
    if (!list) {
      append_json_string(cell.members[i], out);
      out += ':';
    }
    Refusal refusal = append_value(cell.children[list ? 0 : i], children[i], out);
    if (!refusal.empty()) return refusal;
  }
  out += list ? ']' : '}';
  return {};
}

class JsonCodec final : public RecordCodec {
 public:
  explicit JsonCodec(std::vector<CodecColumn> columns)
      : columns_(std::move(columns)), reader_(columns_) {
    for (const auto& column : columns_) {
      std::string key = keys_.empty() ? "{" : ",";
      append_json_string(column.name, key);
      keys_.push_back(key + ":");
    }
  }

  size_t decode(std::span<const Record> records, duck::Chunk& out,
                std::vector<uint32_t>& row_record, std::vector<Rejected>& rejected) override {
    cells_.bind(columns_, out.rows);
    return decode_rows(reader_, cells_, records, out, row_record, rejected);
  }

  Status encode(const duck::Chunk& in, std::vector<Bytes>& out) override {
    CellReader cells(columns_, in.rows);
    for (size_t row = 0; row < in.size(); ++row) {
      text_.clear();
      for (size_t i = 0; i < columns_.size(); ++i) {
        text_ += keys_[i];
        Refusal refusal = append_cell(cells, i, row);
        if (refusal.empty()) continue;
        return Error(Code::invalid_argument, "row {}, column \"{}\": {}", row, columns_[i].name,
                     refusal);
      }
      text_ += '}';
      auto bytes = as_bytes(text_);
      out.emplace_back(bytes.begin(), bytes.end());
    }
    return {};
  }

 private:
  Refusal append_cell(const CellReader& cells, size_t column, size_t row) {
    const CellType& cell = columns_[column].cell;
    if (cells.is_null(column, row)) {
      text_ += "null";
      return {};
    }
    if (cell.is_fixed()) return append_fixed(cell, cells.fixed(column, row), text_);
    if (cell.is_nested()) return append_value(cell, cells.value(column, row), text_);
    append_text(cell, cells.text(column, row), text_);
    return {};
  }

  std::vector<CodecColumn> columns_;
  std::vector<std::string> keys_;  ///< What goes before each value: `{"a":`, `,"b":`.
  JsonReader reader_;
  CellWriter cells_;
  std::string text_;
};

}  // namespace

std::unique_ptr<RecordCodec> make_json_codec(std::vector<CodecColumn> columns) {
  return std::make_unique<JsonCodec>(std::move(columns));
}

}  // namespace ziwa::data
