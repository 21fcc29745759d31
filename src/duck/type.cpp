#include "duck/duckdb.h"
#include "duck/expression.h"

#include <duckdb/parser/column_list.hpp>
#include <duckdb/parser/expression/constant_expression.hpp>
#include <duckdb/parser/expression/type_expression.hpp>
#include <duckdb/parser/parser.hpp>

#include <algorithm>

namespace ziwa::duck {
namespace {

constexpr std::ptrdiff_t kBracketsMax = 300;  // in the text of one type

duckdb::LogicalType enum_type(const duckdb::TypeExpression& named) {
  const auto& words = named.GetChildren();
  duckdb::Vector values(duckdb::LogicalType::VARCHAR, words.size());
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i]->GetExpressionType() != duckdb::ExpressionType::VALUE_CONSTANT) {
      return duckdb::LogicalType::INVALID;
    }
    values.SetValue(i, words[i]->Cast<duckdb::ConstantExpression>().value);
  }
  return duckdb::LogicalType::ENUM(values, words.size());
}

/// JSON lives in an extension inside the library and ENUM is made by a statement: DuckDB's own
/// binding without a catalog knows neither.
duckdb::LogicalType extension_type(const duckdb::LogicalType& unbound) {
  if (!unbound.IsUnbound()) return duckdb::LogicalType::INVALID;
  const auto& expression = *duckdb::UnboundType::GetTypeExpression(unbound);
  const auto& named = expression.Cast<duckdb::TypeExpression>();
  const std::string& name = named.GetTypeName();
  if (duckdb::StringUtil::CIEquals(name, "JSON")) return duckdb::LogicalType::JSON();
  if (duckdb::StringUtil::CIEquals(name, "ENUM")) return enum_type(named);
  return duckdb::LogicalType::INVALID;
}

bool known(const duckdb::LogicalType& type) {
  if (type.id() == duckdb::LogicalTypeId::UNBOUND || type.id() == duckdb::LogicalTypeId::INVALID)
    return false;
  switch (type.id()) {
    case duckdb::LogicalTypeId::LIST:
      return known(duckdb::ListType::GetChildType(type));
    case duckdb::LogicalTypeId::ARRAY:
      return known(duckdb::ArrayType::GetChildType(type));
    case duckdb::LogicalTypeId::MAP:
      return known(duckdb::MapType::KeyType(type)) && known(duckdb::MapType::ValueType(type));
    case duckdb::LogicalTypeId::STRUCT:
    case duckdb::LogicalTypeId::UNION:
      for (const auto& child : duckdb::StructType::GetChildTypes(type)) {
        if (!known(child.second)) return false;
      }
      return true;
    default:
      return true;
  }
}

Error unknown_type(std::string_view text) {
  return Error(Code::invalid_argument, "there is no type \"{}\"", text)
      .because(Cause::undefined_object)
      .with_hint(
          "types are BOOLEAN, TINYINT, SMALLINT, INTEGER, BIGINT, HUGEINT, REAL, DOUBLE, "
          "DECIMAL(p,s), VARCHAR, "
          "BLOB, DATE, TIME, TIMESTAMP, TIMESTAMPTZ, INTERVAL, UUID, JSON, ENUM('a', ...), T[], "
          "STRUCT(a T, ...), "
          "MAP(K, V)");
}

}  // namespace

Result<duckdb::LogicalType> parse_type(std::string_view text) {
  // DuckDB walks nested types by recursion.
  if (std::count_if(text.begin(), text.end(), [](char c) { return c == '[' || c == '('; }) >
      kBracketsMax) {
    return unknown_type(text.substr(0, 100));
  }
  auto columns =
      guarded([&] { return duckdb::Parser::ParseColumnList(fmt::format("c {}", text)); });
  if (!columns.has_value() || columns->LogicalColumnCount() != 1) return unknown_type(text);
  auto type = guarded([&] {
    const auto& parsed = columns->GetColumn(duckdb::LogicalIndex(0)).Type();
    auto ours = extension_type(parsed);
    return known(ours) ? ours : duckdb::UnboundType::TryDefaultBind(parsed);
  });
  if (!type.has_value() || !known(*type)) return unknown_type(text);
  return type;
}

std::string type_name(const duckdb::LogicalType& type) { return type.ToString(); }

}  // namespace ziwa::duck
