#include "stream/testing/table_text.h"

#include "data/normal_values.h"

#include <fmt/format.h>

namespace ziwa::stream::testing {

std::string value_text(const duckdb::Value& value) {
  if (value.IsNull()) return "NULL";
  const auto id = value.type().id();
  if (id == duckdb::LogicalTypeId::DOUBLE) {
    // Equal ones are one: -0.0 and 0.0, and all that is not a number.
    return fmt::format("{:.12g}", data::normal_value(value.GetValue<double>()));
  }
  if (id == duckdb::LogicalTypeId::LIST) {
    std::string text;
    for (const auto& element : duckdb::ListValue::GetChildren(value)) {
      text += (text.empty() ? "" : ", ") + value_text(element);
    }
    return "[" + text + "]";
  }
  return value.ToString();
}

std::string row_text(duckdb::DataChunk& chunk, size_t row) {
  std::string text;
  for (size_t i = 0; i < chunk.ColumnCount(); ++i) {
    if (i > 0) text += '|';
    text += value_text(chunk.GetValue(i, row));
  }
  return text;
}

std::string literal(const duckdb::Value& value) {
  return fmt::format("CAST({} AS {})", value.IsNull() ? "NULL" : value.ToSQLString(),
                     value.type().ToString());
}

Bag query_bag(duckdb::Connection& connection, const std::string& sql) {
  auto result = connection.Query(sql);
  if (result->HasError()) throw std::runtime_error(sql + ": " + result->GetError());
  Bag bag;
  while (auto chunk = result->Fetch()) {
    for (size_t row = 0; row < chunk->size(); ++row) ++bag[row_text(*chunk, row)];
  }
  return bag;
}

void run(duckdb::Connection& connection, const std::string& sql) {
  auto result = connection.Query(sql);
  if (result->HasError()) throw std::runtime_error(sql + ": " + result->GetError());
}

std::string difference(const Bag& got, const Bag& wanted) {
  Bag net = got;
  for (const auto& [row, count] : wanted) net[row] -= count;
  std::string text;
  size_t shown = 0;
  for (const auto& [row, count] : net) {
    if (count == 0 || ++shown > 10) continue;
    text += fmt::format("{}{}: {}\n", count > 0 ? "too many x" : "missing x", std::abs(count), row);
  }
  if (shown > 10) text += fmt::format("... {} rows differ\n", shown);
  return text;
}

}  // namespace ziwa::stream::testing
