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
  recreate,  ///< Dropped and made again: its rows are lost unless they can be computed again.
  load,      ///< The file changed: the table's rows are replaced in one Delta commit.
  drop,
  keep,
};

/// "create", "alter" ...
std::string_view action_name(ProjectAction action);

/// One line of a diff.
struct ProjectChange {
  ProjectAction action = ProjectAction::keep;
  catalog::Kind kind = catalog::Kind::topic;
  std::string name;
  std::string where;  ///< "views.sql:3", or empty for a drop.
  std::string why;    ///< Empty for create and keep.
  bool loses_data = false;
};

/// What apply_project() would do, in the order it would do it; changes nothing. Errors: as
/// apply_project(), but for the lack of `allow_drop`.
Result<std::vector<ProjectChange>> diff_project(const std::shared_ptr<Core>& core,
                                                const std::string& directory);

/// Brings the catalog to what the project says, in one catalog transaction ordered by dependency:
/// all of it or nothing. Touches only objects the project owns. A table that loads a file is filled
/// before anybody sees it, once per content. Errors: invalid_argument and not_found with file and
/// line; conflict when a name belongs to somebody else, or when data would be lost without
/// `allow_drop` (the message lists what).
Result<std::vector<ProjectChange>> apply_project(const std::shared_ptr<Core>& core,
                                                 const std::string& directory, bool allow_drop);

}  // namespace ziwa::sql
