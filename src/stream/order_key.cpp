#include "stream/order_key.h"

namespace ziwa::stream {
namespace {

constexpr char kNullMark = 2;  // Of row keys: docs/formats/row-key.md.

}  // namespace

Result<OrderKey> OrderKey::create(std::vector<Column> columns,
                                  const duckdb::vector<duckdb::LogicalType>& types) {
  OrderKey order;
  for (const auto& column : columns) {
    order.encoders_.push_back(TRY(data::RowKeyEncoder::create({types[column.column]})));
  }
  order.keys_.resize(columns.size());
  order.columns_ = std::move(columns);
  return order;
}

Result<OrderKey> OrderKey::create(std::span<const SortOrder> order, size_t first,
                                  const duckdb::vector<duckdb::LogicalType>& types) {
  std::vector<Column> columns;
  for (const auto& by : order) {
    columns.push_back(
        {.column = first++, .descending = by.descending, .nulls_first = by.nulls_first});
  }
  return create(std::move(columns), types);
}

void OrderKey::encode(duckdb::DataChunk& rows) {
  for (size_t i = 0; i < columns_.size(); ++i) {
    const size_t column[] = {columns_[i].column};
    encoders_[i].encode(rows, column, keys_[i]);
  }
}

// Per column 0 or 1, which puts NULLs on their side, then the value's bytes; inverted to descend.
void OrderKey::append(size_t row, std::string& out) const {
  for (size_t i = 0; i < columns_.size(); ++i) {
    auto key = keys_[i][row];
    const bool null = key[0] == kNullMark;
    out.push_back(null == columns_[i].nulls_first ? 0 : 1);
    if (null) continue;
    for (char byte : key.substr(1)) {
      out.push_back(columns_[i].descending ? static_cast<char>(~byte) : byte);
    }
  }
}

}  // namespace ziwa::stream
