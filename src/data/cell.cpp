#include "data/cell_internal.h"
#include "duck/expression.h"

namespace ziwa::data {
namespace {

using duckdb::LogicalTypeId;
using duckdb::PhysicalType;
using duckdb::Value;

std::optional<CellKind> kind_of(const duckdb::LogicalType& type) {
  switch (type.id()) {
    case LogicalTypeId::BOOLEAN:
      return CellKind::boolean;
    case LogicalTypeId::TINYINT:
      return CellKind::int8;
    case LogicalTypeId::SMALLINT:
      return CellKind::int16;
    case LogicalTypeId::INTEGER:
      return CellKind::int32;
    case LogicalTypeId::BIGINT:
      return CellKind::int64;
    case LogicalTypeId::UTINYINT:
      return CellKind::uint8;
    case LogicalTypeId::USMALLINT:
      return CellKind::uint16;
    case LogicalTypeId::UINTEGER:
      return CellKind::uint32;
    case LogicalTypeId::UBIGINT:
      return CellKind::uint64;
    case LogicalTypeId::HUGEINT:
      return CellKind::int128;
    case LogicalTypeId::FLOAT:
      return CellKind::float32;
    case LogicalTypeId::DOUBLE:
      return CellKind::float64;
    case LogicalTypeId::DATE:
      return CellKind::date;
    case LogicalTypeId::TIME:
      return CellKind::time;
    case LogicalTypeId::TIMESTAMP:
      return CellKind::timestamp;
    case LogicalTypeId::TIMESTAMP_TZ:
      return CellKind::timestamp_tz;
    case LogicalTypeId::UUID:
      return CellKind::uuid;
    case LogicalTypeId::VARCHAR:
      return CellKind::text;
    case LogicalTypeId::BLOB:
      return CellKind::blob;
    case LogicalTypeId::LIST:
      return CellKind::list;
    case LogicalTypeId::STRUCT:
      return CellKind::structure;
    case LogicalTypeId::DECIMAL:
      switch (type.InternalType()) {
        case PhysicalType::INT16:
          return CellKind::decimal16;
        case PhysicalType::INT32:
          return CellKind::decimal32;
        case PhysicalType::INT64:
          return CellKind::decimal64;
        default:
          return CellKind::decimal128;
      }
    default:
      return std::nullopt;
  }
}

template <typename T>
T load(const void* raw) {
  T value;
  std::memcpy(&value, raw, sizeof value);
  return value;
}

template <typename T>
void store(void* raw, T value) {
  std::memcpy(raw, &value, sizeof value);
}

}  // namespace

Result<CellType> CellType::create(const duckdb::LogicalType& type) {
  auto kind = kind_of(type);
  if (!kind || type.HasAlias()) {
    return Error(Code::unsupported, "records cannot carry the type {}", type.ToString());
  }
  CellType cell;
  cell.kind = *kind;
  cell.type = type;
  if (type.id() == LogicalTypeId::DECIMAL) {
    cell.width = duckdb::DecimalType::GetWidth(type);
    cell.scale = duckdb::DecimalType::GetScale(type);
  } else if (*kind == CellKind::list) {
    cell.children.push_back(TRY(create(duckdb::ListType::GetChildType(type))));
  } else if (*kind == CellKind::structure) {
    for (const auto& [name, child] : duckdb::StructType::GetChildTypes(type)) {
      cell.children.push_back(TRY(create(child)));
      cell.members.push_back(name);
    }
  }
  return cell;
}

Result<std::vector<CodecColumn>> make_codec_columns(const Schema& schema) {
  std::vector<CodecColumn> columns;
  for (const auto& column : schema.columns) {
    auto type = duck::parse_type(column.type);
    if (!type) return std::move(type).error().context(fmt::format("column \"{}\"", column.name));
    auto cell = CellType::create(*type);
    if (!cell) return std::move(cell).error().context(fmt::format("column \"{}\"", column.name));
    columns.push_back({column.name, std::move(*cell), column.not_null});
  }
  return columns;
}

size_t cell_bytes(CellKind kind) {
  switch (kind) {
    case CellKind::boolean:
    case CellKind::int8:
    case CellKind::uint8:
      return 1;
    case CellKind::int16:
    case CellKind::uint16:
    case CellKind::decimal16:
      return 2;
    case CellKind::int32:
    case CellKind::uint32:
    case CellKind::float32:
    case CellKind::decimal32:
    case CellKind::date:
      return 4;
    case CellKind::int64:
    case CellKind::uint64:
    case CellKind::float64:
    case CellKind::decimal64:
    case CellKind::time:
    case CellKind::timestamp:
    case CellKind::timestamp_tz:
      return 8;
    case CellKind::int128:
    case CellKind::decimal128:
    case CellKind::uuid:
      return 16;
    case CellKind::text:
    case CellKind::blob:
      return sizeof(duckdb::string_t);
    case CellKind::list:
    case CellKind::structure:
      return 0;
  }
  return 0;
}

Value fixed_value(const CellType& cell, const void* raw) {
  auto width = static_cast<uint8_t>(cell.width);
  auto scale = static_cast<uint8_t>(cell.scale);
  switch (cell.kind) {
    case CellKind::boolean:
      return Value::BOOLEAN(load<bool>(raw));
    case CellKind::int8:
      return Value::TINYINT(load<int8_t>(raw));
    case CellKind::int16:
      return Value::SMALLINT(load<int16_t>(raw));
    case CellKind::int32:
      return Value::INTEGER(load<int32_t>(raw));
    case CellKind::int64:
      return Value::BIGINT(load<int64_t>(raw));
    case CellKind::uint8:
      return Value::UTINYINT(load<uint8_t>(raw));
    case CellKind::uint16:
      return Value::USMALLINT(load<uint16_t>(raw));
    case CellKind::uint32:
      return Value::UINTEGER(load<uint32_t>(raw));
    case CellKind::uint64:
      return Value::UBIGINT(load<uint64_t>(raw));
    case CellKind::int128:
      return Value::HUGEINT(load<duckdb::hugeint_t>(raw));
    case CellKind::float32:
      return Value::FLOAT(load<float>(raw));
    case CellKind::float64:
      return Value::DOUBLE(load<double>(raw));
    case CellKind::decimal16:
      return Value::DECIMAL(load<int16_t>(raw), width, scale);
    case CellKind::decimal32:
      return Value::DECIMAL(load<int32_t>(raw), width, scale);
    case CellKind::decimal64:
      return Value::DECIMAL(load<int64_t>(raw), width, scale);
    case CellKind::decimal128:
      return Value::DECIMAL(load<duckdb::hugeint_t>(raw), width, scale);
    case CellKind::date:
      return Value::DATE(duckdb::date_t(load<int32_t>(raw)));
    case CellKind::time:
      return Value::TIME(duckdb::dtime_t(load<int64_t>(raw)));
    case CellKind::timestamp:
      return Value::TIMESTAMP(duckdb::timestamp_t(load<int64_t>(raw)));
    case CellKind::timestamp_tz:
      return Value::TIMESTAMPTZ(duckdb::timestamp_tz_t(load<int64_t>(raw)));
    case CellKind::uuid:
      return Value::UUID(load<duckdb::hugeint_t>(raw));
    default:
      break;
  }
  CHECK(false, "{} has no fixed size", cell.name());
  return Value();
}

void store_fixed(const CellType& cell, const Value& value, void* raw) {
  switch (cell.kind) {
    case CellKind::boolean:
      return store(raw, value.GetValueUnsafe<bool>());
    case CellKind::int8:
      return store(raw, value.GetValueUnsafe<int8_t>());
    case CellKind::uint8:
      return store(raw, value.GetValueUnsafe<uint8_t>());
    case CellKind::int16:
    case CellKind::decimal16:
      return store(raw, value.GetValueUnsafe<int16_t>());
    case CellKind::uint16:
      return store(raw, value.GetValueUnsafe<uint16_t>());
    case CellKind::int32:
    case CellKind::decimal32:
      return store(raw, value.GetValueUnsafe<int32_t>());
    case CellKind::uint32:
      return store(raw, value.GetValueUnsafe<uint32_t>());
    case CellKind::date:
      return store(raw, value.GetValueUnsafe<duckdb::date_t>().days);
    case CellKind::int64:
    case CellKind::decimal64:
      return store(raw, value.GetValueUnsafe<int64_t>());
    case CellKind::uint64:
      return store(raw, value.GetValueUnsafe<uint64_t>());
    case CellKind::float32:
      return store(raw, value.GetValueUnsafe<float>());
    case CellKind::float64:
      return store(raw, value.GetValueUnsafe<double>());
    case CellKind::time:
      return store(raw, value.GetValueUnsafe<duckdb::dtime_t>().micros);
    case CellKind::timestamp:
    case CellKind::timestamp_tz:
      return store(raw, value.GetValueUnsafe<duckdb::timestamp_t>().value);
    case CellKind::int128:
    case CellKind::decimal128:
    case CellKind::uuid:
      return store(raw, value.GetValueUnsafe<duckdb::hugeint_t>());
    default:
      break;
  }
  CHECK(false, "{} has no fixed size", cell.name());
}

void CellWriter::bind(const std::vector<CodecColumn>& columns, duckdb::DataChunk& chunk) {
  CHECK(chunk.ColumnCount() >= columns.size(), "{} columns for {}", chunk.ColumnCount(),
        columns.size());
  targets_.resize(columns.size());
  for (size_t i = 0; i < columns.size(); ++i) {
    auto& vector = chunk.data[i];
    CHECK(vector.GetType() == columns[i].cell.type, "column {} is not {}", i,
          columns[i].cell.name());
    if (chunk.size() == 0) vector.SetVectorType(duckdb::VectorType::FLAT_VECTOR);
    CHECK(vector.GetVectorType() == duckdb::VectorType::FLAT_VECTOR, "column {} is not flat", i);
    targets_[i].vector = &vector;
    targets_[i].validity = &duckdb::FlatVector::Validity(vector);
    targets_[i].data = reinterpret_cast<std::byte*>(duckdb::FlatVector::GetData(vector));
    targets_[i].cell_bytes = cell_bytes(columns[i].cell.kind);
    targets_[i].nested = columns[i].cell.is_nested();
  }
}

CellReader::CellReader(const std::vector<CodecColumn>& columns, const duckdb::DataChunk& chunk)
    : chunk_(chunk), formats_(columns.size()), cell_bytes_(columns.size()) {
  for (size_t i = 0; i < columns.size(); ++i) {
    // DuckDB forgot a const: the vector stays as it is.
    const_cast<duckdb::Vector&>(chunk.data[i]).ToUnifiedFormat(chunk.size(), formats_[i]);
    cell_bytes_[i] = cell_bytes(columns[i].cell.kind);
  }
}

}  // namespace ziwa::data
