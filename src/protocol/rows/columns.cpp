#include "protocol/rows/columns.h"

#include "duck/instance.h"

namespace ziwa::protocol {

bool Columns::nested(const duckdb::LogicalType& type) {
  using enum duckdb::LogicalTypeId;
  switch (type.id()) {
    case LIST:
    case ARRAY:
    case STRUCT:
    case MAP:
      return true;
    default:
      return false;
  }
}

bool Columns::shown_as_text(const duckdb::LogicalType& type) {
  using enum duckdb::LogicalTypeId;
  switch (type.id()) {
    case BOOLEAN:
    case TINYINT:
    case SMALLINT:
    case INTEGER:
    case BIGINT:
    case UTINYINT:
    case USMALLINT:
    case UINTEGER:
    case UBIGINT:
    case HUGEINT:
    case UHUGEINT:
    case FLOAT:
    case DOUBLE:
    case DECIMAL:
    case VARCHAR:
    case BLOB:
    case DATE:
    case TIME:
    case TIMESTAMP:
    case TIMESTAMP_SEC:
    case TIMESTAMP_MS:
    case TIMESTAMP_NS:
    case TIMESTAMP_TZ:
    case INTERVAL:
    case UUID:
      return false;
    default:
      return !nested(type);
  }
}

Status Columns::load(duckdb::DataChunk& chunk) {
  return duck::guarded([&] {
    rows_ = chunk.size();
    columns_.resize(chunk.ColumnCount());
    for (size_t i = 0; i < columns_.size(); ++i) {
      Column& column = columns_[i];
      column.vector = &chunk.data[i];
      if (shown_as_text(column.vector->GetType())) {
        column.text = std::make_unique<duckdb::Vector>(duckdb::LogicalType::VARCHAR);
        duckdb::VectorOperations::DefaultCast(*column.vector, *column.text, rows_);
        column.vector = column.text.get();
      }
      column.vector->ToUnifiedFormat(rows_, column.format);
      column.width = duckdb::GetTypeIdSize(column.vector->GetType().InternalType());
      if (column.format.data ==
          nullptr) {  // A struct has no bytes of its own; any address says "not NULL".
        column.format.data = reinterpret_cast<duckdb::data_ptr_t>(&column);
        column.width = 0;
      }
    }
  });
}

ScalarCell::ScalarCell(const duckdb::Value& value)
    : vector_(Columns::shown_as_text(value.type()) && !value.IsNull()
                  ? duckdb::Value(value.ToString())
                  : value) {}

const void* ScalarCell::at() {
  if (duckdb::ConstantVector::IsNull(vector_)) return nullptr;
  return duckdb::ConstantVector::GetData(vector_);
}

}  // namespace ziwa::protocol
