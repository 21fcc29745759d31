#include "base/json_depth.h"
#include "lake/delta_schema_internal.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

namespace ziwa::lake {
namespace {

using duckdb::LogicalType;
using duckdb::LogicalTypeId;
using nlohmann::json;

constexpr const char* kIdKey = "ziwa.id";
constexpr const char* kTypeKey = "ziwa.type";
constexpr int kNestingMax = 64;
constexpr size_t kColumnsMax = 10'000;
constexpr size_t kSchemaDepthMax = 512;  ///< Of its JSON, before the limit on types counts.

struct Primitive {
  const char* delta;
  LogicalTypeId type;
};
constexpr Primitive kPrimitives[] = {
    {"string", LogicalTypeId::VARCHAR},
    {"long", LogicalTypeId::BIGINT},
    {"integer", LogicalTypeId::INTEGER},
    {"short", LogicalTypeId::SMALLINT},
    {"byte", LogicalTypeId::TINYINT},
    {"float", LogicalTypeId::FLOAT},
    {"double", LogicalTypeId::DOUBLE},
    {"boolean", LogicalTypeId::BOOLEAN},
    {"binary", LogicalTypeId::BLOB},
    {"date", LogicalTypeId::DATE},
    {"timestamp", LogicalTypeId::TIMESTAMP_TZ},
    {"timestamp_ntz", LogicalTypeId::TIMESTAMP},
};

Error corrupt(std::string_view what) { return Error(Code::corrupt, "table schema: {}", what); }

/// "decimal(10,2)".
Result<LogicalType> parse_decimal(std::string_view text) {
  unsigned precision = 0;
  unsigned scale = 0;
  const char* end = text.data() + text.size();
  auto first = std::from_chars(text.data() + 8, end, precision);
  const char* at = first.ptr;
  while (at < end && (*at == ',' || *at == ' ')) ++at;
  auto second = std::from_chars(at, end, scale);
  if (first.ec != std::errc() || second.ec != std::errc() || second.ptr + 1 != end ||
      precision < 1 || precision > 38 || scale > precision) {
    return corrupt(fmt::format("bad type {}", text));
  }
  return LogicalType::DECIMAL(static_cast<uint8_t>(precision), static_cast<uint8_t>(scale));
}

Result<LogicalType> parse_primitive(const std::string& name) {
  for (const Primitive& primitive : kPrimitives) {
    if (name == primitive.delta) return LogicalType(primitive.type);
  }
  if (name.starts_with("decimal(")) return parse_decimal(name);
  if (name == "decimal") return LogicalType::DECIMAL(10, 0);
  return Error(Code::unsupported,
               "the table has a column of Delta type \"{}\", which cannot be read yet", name);
}

Result<LogicalType> parse_type(const json& type, int depth) {
  if (depth > kNestingMax) return corrupt("types are nested too deeply");
  if (type.is_string()) return parse_primitive(type.get<std::string>());
  if (!type.is_object()) return corrupt("a type is neither a name nor an object");
  const auto kind = type.value("type", "");
  if (kind == "array") {
    return LogicalType::LIST(TRY(parse_type(type.value("elementType", json()), depth + 1)));
  }
  if (kind == "map") {
    auto key = TRY(parse_type(type.value("keyType", json()), depth + 1));
    return LogicalType::MAP(key, TRY(parse_type(type.value("valueType", json()), depth + 1)));
  }
  if (kind != "struct") return corrupt(fmt::format("unknown type \"{}\"", kind));
  duckdb::child_list_t<LogicalType> children;
  for (const json& field : type.value("fields", json::array())) {
    children.emplace_back(field.value("name", ""),
                          TRY(parse_type(field.value("type", json()), depth + 1)));
  }
  if (children.empty()) return Error(Code::unsupported, "the table has a STRUCT without fields");
  return LogicalType::STRUCT(std::move(children));
}

Status add_column(const json& field, TableColumns& columns) {
  data::Column column;
  column.name = field.at("name").get<std::string>();
  auto stored = TRY(parse_type(field.at("type"), 0));
  auto declared = stored;
  column.not_null = !field.value("nullable", true);
  column.id = static_cast<uint32_t>(columns.schema.columns.size() + 1);
  const json metadata = field.value("metadata", json::object());
  if (auto id = metadata.find(kIdKey); id != metadata.end() && id->is_number_unsigned()) {
    column.id = id->get<uint32_t>();
  }
  if (auto type = metadata.find(kTypeKey); type != metadata.end() && type->is_string()) {
    declared = TRY(duck::parse_type(type->get<std::string>()));
    if (TRY(stored_type(declared)) != stored) {
      return corrupt(fmt::format("column {} is not stored as its type says", column.name));
    }
  }
  column.type = duck::type_name(declared);
  columns.schema.columns.push_back(std::move(column));
  columns.declared.push_back(std::move(declared));
  columns.stored.push_back(std::move(stored));
  return {};
}

json primitive_to_json(const LogicalType& type) {
  if (type.id() == LogicalTypeId::DECIMAL) {
    return fmt::format("decimal({},{})", duckdb::DecimalType::GetWidth(type),
                       duckdb::DecimalType::GetScale(type));
  }
  for (const Primitive& primitive : kPrimitives) {
    if (type.id() == primitive.type) return primitive.delta;
  }
  CHECK(false, "{} is not a stored type", type.ToString());
}

json type_to_json(const LogicalType& type) {
  switch (type.id()) {
    case LogicalTypeId::LIST:
      return {{"type", "array"},
              {"elementType", type_to_json(duckdb::ListType::GetChildType(type))},
              {"containsNull", true}};
    case LogicalTypeId::MAP:
      return {{"type", "map"},
              {"keyType", type_to_json(duckdb::MapType::KeyType(type))},
              {"valueType", type_to_json(duckdb::MapType::ValueType(type))},
              {"valueContainsNull", true}};
    case LogicalTypeId::STRUCT: {
      json fields = json::array();
      for (const auto& [name, child] : duckdb::StructType::GetChildTypes(type)) {
        fields.push_back({{"name", name},
                          {"type", type_to_json(child)},
                          {"nullable", true},
                          {"metadata", json::object()}});
      }
      return {{"type", "struct"}, {"fields", std::move(fields)}};
    }
    default:
      return primitive_to_json(type);
  }
}

Result<LogicalType> stored_struct(const LogicalType& declared) {
  duckdb::child_list_t<LogicalType> children;
  for (const auto& [name, child] : duckdb::StructType::GetChildTypes(declared)) {
    if (name.empty())
      return Error(Code::unsupported, "a Delta table cannot hold a STRUCT without field names");
    children.emplace_back(name, TRY(stored_type(child)));
  }
  return LogicalType::STRUCT(std::move(children));
}

}  // namespace

Result<TableColumns> parse_schema(const Metadata& metadata) {
  if (json_nests_deeper(metadata.schema_string, kSchemaDepthMax)) {
    return corrupt(fmt::format("it nests deeper than {} levels", kSchemaDepthMax));
  }
  json root = json::parse(metadata.schema_string, nullptr, false);
  if (!root.is_object() || !root.contains("fields") || !root["fields"].is_array()) {
    return corrupt(metadata.schema_string.empty() ? "there is none" : "not a struct in JSON");
  }
  if (root["fields"].size() > kColumnsMax) {
    return Error(Code::exhausted, "the table has {} columns, the limit is {}",
                 root["fields"].size(), kColumnsMax);
  }
  TableColumns columns;
  try {
    for (const json& field : root["fields"]) TRY(add_column(field, columns));
  } catch (const json::exception& e) {
    return corrupt(e.what());
  }
  columns.is_partition.resize(columns.schema.columns.size());
  for (const std::string& name : metadata.partition_columns) {
    auto index = columns.schema.find(name);
    if (!index) return corrupt(fmt::format("there is no partition column \"{}\"", name));
    columns.is_partition[*index] = true;
  }
  return columns;
}

namespace {

/// Whether column `name` is now what it was.
Status check_column(const TableColumns& expected, size_t column, const TableColumns& now) {
  const data::Column& was = expected.schema.columns[column];
  auto same_name = [&](const data::Column& other) { return other.name == was.name; };
  auto found = std::ranges::find_if(now.schema.columns, same_name);
  if (found == now.schema.columns.end())
    return Error(Code::unsupported, "there is no column \"{}\" any more", was.name);
  const LogicalType& type = now.stored[found - now.schema.columns.begin()];
  if (type != expected.stored[column]) {
    return Error(Code::unsupported, "column \"{}\" is {} now, and was {}", was.name,
                 duck::type_name(type), duck::type_name(expected.stored[column]));
  }
  if (found->not_null == was.not_null) return {};
  return Error(Code::unsupported, "column \"{}\" is {} now", was.name,
               was.not_null ? "without NOT NULL" : "NOT NULL");
}

}  // namespace

Status check_expected(const TableColumns& expected,
                      const std::vector<std::string>& expected_partition_columns,
                      const TableColumns& now, const std::vector<std::string>& partition_columns) {
  for (size_t column = 0; column < expected.schema.columns.size(); ++column)
    TRY(check_column(expected, column, now));
  if (partition_columns != expected_partition_columns) {
    return Error(Code::unsupported, "it is partitioned by \"{}\" now, and was by \"{}\"",
                 fmt::join(partition_columns, ", "), fmt::join(expected_partition_columns, ", "));
  }
  for (const data::Column& column : now.schema.columns) {
    const bool added = !expected.schema.find(column.name);
    if (added && column.not_null)
      return Error(Code::unsupported, "column \"{}\" was added as NOT NULL", column.name);
  }
  return {};
}

Result<std::string> schema_to_string(const data::Schema& schema) {
  if (schema.columns.empty())
    return Error(Code::invalid_argument, "a table needs at least one column");
  if (schema.columns.size() > kColumnsMax) {
    return Error(Code::exhausted, "{} columns are too many: at most {}", schema.columns.size(),
                 kColumnsMax);
  }
  json fields = json::array();
  for (size_t i = 0; i < schema.columns.size(); ++i) {
    const data::Column& column = schema.columns[i];
    if (schema.find(column.name) != i) {
      return Error(Code::invalid_argument, "two columns are named \"{}\"", column.name);
    }
    auto declared = TRY(duck::parse_type(column.type));
    auto stored = stored_type(declared);
    if (!stored.has_value()) return std::move(stored).error().context("column " + column.name);
    json metadata = {{kIdKey, column.id}};
    if (*stored != declared || declared.HasAlias()) metadata[kTypeKey] = duck::type_name(declared);
    fields.push_back({{"name", column.name},
                      {"type", type_to_json(*stored)},
                      {"nullable", !column.not_null},
                      {"metadata", std::move(metadata)}});
  }
  return json({{"type", "struct"}, {"fields", std::move(fields)}}).dump();
}

Result<LogicalType> stored_type(const LogicalType& declared) {
  switch (declared.id()) {
    case LogicalTypeId::BOOLEAN:
    case LogicalTypeId::TINYINT:
    case LogicalTypeId::SMALLINT:
    case LogicalTypeId::INTEGER:
    case LogicalTypeId::BIGINT:
    case LogicalTypeId::FLOAT:
    case LogicalTypeId::DOUBLE:
    case LogicalTypeId::BLOB:
    case LogicalTypeId::DATE:
    case LogicalTypeId::TIMESTAMP:
    case LogicalTypeId::TIMESTAMP_TZ:
      return LogicalType(declared.id());
    case LogicalTypeId::DECIMAL:
      return declared;
    case LogicalTypeId::UTINYINT:
      return LogicalType(LogicalTypeId::SMALLINT);
    case LogicalTypeId::USMALLINT:
      return LogicalType(LogicalTypeId::INTEGER);
    case LogicalTypeId::UINTEGER:
      return LogicalType(LogicalTypeId::BIGINT);
    case LogicalTypeId::UBIGINT:
      return LogicalType::DECIMAL(20, 0);
    case LogicalTypeId::HUGEINT:
      return LogicalType::DECIMAL(38, 0);
    case LogicalTypeId::TIMESTAMP_SEC:
    case LogicalTypeId::TIMESTAMP_MS:
      return LogicalType(LogicalTypeId::TIMESTAMP);
    case LogicalTypeId::VARCHAR:
    case LogicalTypeId::UUID:
    case LogicalTypeId::TIME:
    case LogicalTypeId::TIME_TZ:
    case LogicalTypeId::INTERVAL:
    case LogicalTypeId::BIT:
    case LogicalTypeId::ENUM:
      return LogicalType(LogicalTypeId::VARCHAR);
    case LogicalTypeId::LIST:
      return LogicalType::LIST(TRY(stored_type(duckdb::ListType::GetChildType(declared))));
    case LogicalTypeId::ARRAY:
      return LogicalType::LIST(TRY(stored_type(duckdb::ArrayType::GetChildType(declared))));
    case LogicalTypeId::MAP: {
      auto key = TRY(stored_type(duckdb::MapType::KeyType(declared)));
      return LogicalType::MAP(key, TRY(stored_type(duckdb::MapType::ValueType(declared))));
    }
    case LogicalTypeId::STRUCT:
      return stored_struct(declared);
    case LogicalTypeId::TIMESTAMP_NS:
      return Error(Code::unsupported,
                   "a Delta table cannot hold TIMESTAMP_NS: its timestamps have microseconds")
          .with_hint("cast to TIMESTAMP");
    default:
      return Error(Code::unsupported, "a Delta table cannot hold {}", declared.ToString())
          .with_hint("cast it to VARCHAR, BLOB, DECIMAL or STRUCT");
  }
}

bool has_timestamp_without_zone(const LogicalType& type) {
  switch (type.id()) {
    case LogicalTypeId::TIMESTAMP:
      return true;
    case LogicalTypeId::LIST:
      return has_timestamp_without_zone(duckdb::ListType::GetChildType(type));
    case LogicalTypeId::MAP:
      return has_timestamp_without_zone(duckdb::MapType::KeyType(type)) ||
             has_timestamp_without_zone(duckdb::MapType::ValueType(type));
    case LogicalTypeId::STRUCT: {
      const auto& children = duckdb::StructType::GetChildTypes(type);
      return std::any_of(children.begin(), children.end(), [](const auto& child) {
        return has_timestamp_without_zone(child.second);
      });
    }
    default:
      return false;
  }
}

}  // namespace ziwa::lake
