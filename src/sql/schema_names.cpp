#include "sql/schema_names.h"

#include "base/text.h"
#include "duck/catalog_api.h"
#include "sql/core.h"

#include <algorithm>
#include <array>

namespace ziwa::sql {
namespace {

constexpr std::array<std::string_view, 8> kSystemSchemas = {
    "ziwa", "db", "temp", "system", "memory", "main", "pg_catalog", "information_schema"};

constexpr const char* kOtherName = "ATTACH 'file' AS another_name (READ_ONLY)";

Error taken(std::string_view name, SchemaNames::Use by) {
  if (by == SchemaNames::Use::schema) {
    return Error(Code::already_exists, "there is a schema named \"{}\"", name)
        .with_hint(kOtherName);
  }
  return Error(Code::already_exists, "\"{}\" is the name of an attached file", name)
      .with_hint(fmt::format("name another schema, or DETACH {}", name));
}

}  // namespace

Result<SchemaNames::Claim> SchemaNames::claim(std::string_view name, Use use) {
  const Use other = use == Use::schema ? Use::file : Use::schema;
  Key key{lower(name), use};
  std::lock_guard lock(mutex_);
  if (claims_.contains({key.first, other})) return taken(name, other);
  claims_.insert(key);
  return Claim(this, [key](SchemaNames* names) { names->release(key); });
}

void SchemaNames::release(const Key& key) {
  std::lock_guard lock(mutex_);
  claims_.erase(claims_.find(key));
}

bool is_system_schema(std::string_view name) {
  return std::ranges::find(kSystemSchemas, lower(name)) != kSystemSchemas.end();
}

Status check_schema_name(Core& core, std::string_view name) {
  auto& databases = duckdb::DatabaseManager::Get(*core.deps.duck.database().instance);
  if (!databases.GetDatabase(std::string(name))) return {};
  return taken(name, SchemaNames::Use::file);
}

Result<SchemaNames::Claim> claim_file_name(Core& core, std::string_view name) {
  if (is_system_schema(name) || lower(name) == kDefaultSchema) {
    return Error(Code::permission, "a file cannot be attached as \"{}\": the system has that name",
                 name)
        .with_hint(kOtherName);
  }
  auto claim = TRY(core.schema_names.claim(name, SchemaNames::Use::file));
  const auto snapshot = core.deps.catalog.snapshot();
  for (const catalog::ObjectPtr& object : snapshot->all()) {
    if (lower(object->schema) == lower(name)) return taken(name, SchemaNames::Use::schema);
  }
  return claim;
}

}  // namespace ziwa::sql
