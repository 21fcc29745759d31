#pragma once

#include "base/result.h"
#include "catalog/objects.h"
#include "sql/core.h"

#include <string>
#include <vector>

namespace ziwa::sql {

/// What happens to one object when a project is applied.
enum class ProjectAction : unsigned char {
  create,
  alter,     ///< In place; nothing is lost.
  recreate,  ///< Dropped and made again, because it changed or because what it depends on is.
  load,      ///< The file changed: the rows of the last load are replaced in one Delta commit.
  drop,
  keep,
};

/// "create", "alter" ...
std::string_view action_name(ProjectAction action);

/// One line of a diff.
struct ProjectChange {
  ProjectAction action = ProjectAction::keep;
  catalog::Kind kind = catalog::Kind::topic;
  std::string schema;
  std::string name;
  std::string where;  ///< "views.sql:3", or empty for a drop.
  std::string why;    ///< Empty for create and keep.
  bool loses_data = false;
};

/// What apply_project() would do, in the order it would do it; changes nothing. Errors: as
/// apply_project(), but for the lack of `allow_drop`.
Result<std::vector<ProjectChange>> diff_project(const std::shared_ptr<Core>& core,
                                                const std::string& directory);

/// Brings the catalog to what the project says, by exactly the changes of diff_project(): all of it
/// or nothing, in one catalog commit, also when the machine dies. Files are read and written into
/// the lake before that commit; a table that is loaded again gets its rows right after it, or at
/// the next start. Touches only objects the project owns. Errors, with file and line: those of
/// define() and open_load(); conflict when a name belongs to somebody else, when something else
/// depends on what has to go, or when data would be lost without `allow_drop` (the message lists
/// what).
Result<std::vector<ProjectChange>> apply_project(const std::shared_ptr<Core>& core,
                                                 const std::string& directory, bool allow_drop);

}  // namespace ziwa::sql
