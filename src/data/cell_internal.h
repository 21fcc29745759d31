#pragma once

#include "base/result.h"
#include "data/record_codec.h"
#include "duck/chunk.h"

#include <string>
#include <vector>

namespace ziwa::data {

/// The types that codecs carry. Order matters: what comes before `text` has a fixed size.
enum class CellKind : unsigned char {
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
  float32,
  float64,
  decimal16,
  decimal32,
  decimal64,
  decimal128,
  date,
  time,
  timestamp,
  timestamp_tz,
  uuid,
  text,
  blob,
  list,
  structure,
};

/// A type, taken apart once so that no record has to.
struct CellType {
  CellKind kind = CellKind::text;
  duckdb::LogicalType type;
  int width = 0;  ///< Of a decimal.
  int scale = 0;
  std::vector<CellType> children;    ///< Element of a list, members of a struct.
  std::vector<std::string> members;  ///< Names of the members of a struct.

  /// Errors: unsupported for types that no codec carries.
  static Result<CellType> create(const duckdb::LogicalType& type);
  bool is_fixed() const { return kind < CellKind::text; }
  bool is_nested() const { return kind >= CellKind::list; }
  std::string name() const { return type.ToString(); }
};

/// A column of the schema as codecs see it.
struct CodecColumn {
  std::string name;
  CellType cell;
  bool not_null = false;
};

/// Errors: invalid_argument (not a type), unsupported (a type that codecs do not carry); both name
/// the column.
Result<std::vector<CodecColumn>> make_codec_columns(const Schema& schema);

/// Bytes of one cell of a fixed kind in a DuckDB vector.
size_t cell_bytes(CellKind kind);
/// The value of a fixed cell, as it lies in a DuckDB vector.
duckdb::Value fixed_value(const CellType& cell, const void* raw);
/// The inverse: writes cell_bytes() bytes.
void store_fixed(const CellType& cell, const duckdb::Value& value, void* raw);

/// DuckDB keeps UUIDs as signed numbers with the top bit turned, so that they sort.
inline duckdb::hugeint_t to_hugeint(__int128 number) {
  duckdb::hugeint_t huge;
  huge.lower = static_cast<uint64_t>(number);
  huge.upper = static_cast<int64_t>(number >> 64);
  return huge;
}
inline __int128 from_hugeint(duckdb::hugeint_t huge) {
  return static_cast<__int128>(huge.upper) << 64 | huge.lower;
}
constexpr unsigned __int128 kUuidTopBit = static_cast<unsigned __int128>(1) << 127;

/// Where the cells of the columns of a chunk are written. Bound anew for every chunk.
class CellWriter {
 public:
  /// The first `columns.size()` vectors of `chunk`.
  void bind(const std::vector<CodecColumn>& columns, duckdb::DataChunk& chunk);
  /// The place of a fixed cell; marks it as not NULL.
  void* fixed(size_t column, size_t row) {
    Target& target = targets_[column];
    set_valid(target, row);
    return target.data + row * target.cell_bytes;
  }
  void text(size_t column, size_t row, std::string_view text) {
    Target& target = targets_[column];
    set_valid(target, row);
    auto* cells = reinterpret_cast<duckdb::string_t*>(target.data);
    if (text.size() <= duckdb::string_t::INLINE_LENGTH) {
      cells[row] = duckdb::string_t(text.data(), static_cast<uint32_t>(text.size()));
    } else {
      cells[row] = duckdb::StringVector::AddStringOrBlob(*target.vector, text.data(), text.size());
    }
  }
  void value(size_t column, size_t row, const duckdb::Value& value) {
    targets_[column].vector->SetValue(row, value);
  }
  void null(size_t column, size_t row) {
    Target& target = targets_[column];
    if (target.nested) return duckdb::FlatVector::SetNull(*target.vector, row, true);
    target.validity->SetInvalid(row);
  }

 private:
  struct Target {
    duckdb::Vector* vector = nullptr;
    duckdb::ValidityMask* validity = nullptr;
    std::byte* data = nullptr;
    size_t cell_bytes = 0;
    bool nested = false;
  };
  static void set_valid(Target& target, size_t row) {
    if (!target.validity->AllValid()) target.validity->SetValid(row);
  }
  std::vector<Target> targets_;
};

/// Reads the cells of a chunk, whatever its vectors look like.
class CellReader {
 public:
  CellReader(const std::vector<CodecColumn>& columns, const duckdb::DataChunk& chunk);
  bool is_null(size_t column, size_t row) const {
    const auto& format = formats_[column];
    return !format.validity.RowIsValid(format.sel->get_index(row));
  }
  const void* fixed(size_t column, size_t row) const {
    const auto& format = formats_[column];
    return format.data + format.sel->get_index(row) * cell_bytes_[column];
  }
  std::string_view text(size_t column, size_t row) const {
    const auto& format = formats_[column];
    const auto& text =
        reinterpret_cast<const duckdb::string_t*>(format.data)[format.sel->get_index(row)];
    return {text.GetData(), text.GetSize()};
  }
  duckdb::Value value(size_t column, size_t row) const { return chunk_.GetValue(column, row); }

 private:
  const duckdb::DataChunk& chunk_;
  std::vector<duckdb::UnifiedVectorFormat> formats_;
  std::vector<size_t> cell_bytes_;
};

/// The loop of RecordCodec::decode: `reader` reads one record into one row, or says why not.
template <typename Reader>
size_t decode_rows(Reader& reader, CellWriter& cells, std::span<const Record> records,
                   duck::Chunk& out, std::vector<uint32_t>& row_record,
                   std::vector<Rejected>& rejected) {
  size_t row = out.size();
  size_t done = 0;
  for (; done < records.size() && row < STANDARD_VECTOR_SIZE; ++done) {
    const Record& record = records[done];
    bool there = record.value.data() != nullptr;
    if (there && reader.read(record.value, cells, row)) {
      row_record.push_back(static_cast<uint32_t>(done));
      ++row;
    } else {
      rejected.push_back({record.offset, record.partition, record.entry,
                          there ? reader.reason() : "the record has no value"});
    }
  }
  if (!out.weights.empty()) out.weights.resize(row, 1);
  out.rows.SetCardinality(row);
  return done;
}

/// Each format's codec.
std::unique_ptr<RecordCodec> make_json_codec(std::vector<CodecColumn> columns);
Result<std::unique_ptr<RecordCodec>> make_avro_codec(std::vector<CodecColumn> columns);

}  // namespace ziwa::data
