#pragma once

#include "catalog/catalog.h"
#include "sql/statement.h"
#include "sql/view_planner.h"

#include <string>
#include <variant>

namespace ziwa::sql {

/// The statements that make an object.
using CreateStatement = std::variant<CreateTopic, CreateTable, CreateView, CreateSink>;

/// What the statement `sql` (parsed as `create`) would put into the catalog, without an id and, for
/// a table, without a location; changes nothing. Sessions commit it, projects compare it with what
/// is there. Errors: invalid_argument, not_found, unsupported, with positions in `sql`.
Result<catalog::Object> define(const BindContext& context, const CreateStatement& create,
                               std::string_view sql);

/// The object that a statement names, in `schema` if the name has none.
struct ObjectName {
  std::string schema;
  std::string name;
};
/// Errors: permission for schemas of the system.
Result<ObjectName> resolve_name(const QualifiedName& name, const std::string& current_schema);
/// The first of that name in the schemas of `path`. Errors: not_found with a suggestion.
Result<catalog::ObjectPtr> find_object(const catalog::Snapshot& snapshot, const QualifiedName& name,
                                       const std::vector<std::string>& path);

/// The name of what the statement makes.
const QualifiedName& name_of(const CreateStatement& create);
/// Whether the statement has IF NOT EXISTS.
bool if_not_exists(const CreateStatement& create);
/// The kind of object it makes.
catalog::Kind kind_of(const CreateStatement& create);

/// The statement without comments, each run of blanks a single one.
std::string normalised(std::string_view sql);

}  // namespace ziwa::sql
