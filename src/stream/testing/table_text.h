#pragma once

#include "duck/instance.h"

#include <map>
#include <string>
#include <vector>

namespace ziwa::stream::testing {

/// A bag of rows as text: "value|value|..." with how often it is there. Doubles to 12 digits.
using Bag = std::map<std::string, int64_t>;

std::string value_text(const duckdb::Value& value);
std::string row_text(duckdb::DataChunk& chunk, size_t row);
/// A value as SQL text with its type: CAST('...' AS TYPE).
std::string literal(const duckdb::Value& value);
/// All rows of a query. Throws what DuckDB throws: a test fails by it.
Bag query_bag(duckdb::Connection& connection, const std::string& sql);
void run(duckdb::Connection& connection, const std::string& sql);
/// Rows that are in one bag more often than in the other; empty when equal.
std::string difference(const Bag& got, const Bag& wanted);

}  // namespace ziwa::stream::testing
