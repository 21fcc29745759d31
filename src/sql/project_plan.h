#pragma once

#include "catalog/catalog.h"
#include "sql/core.h"
#include "sql/project.h"
#include "sql/project_load.h"
#include "sql/project_order.h"

#include <optional>
#include <vector>

namespace ziwa::sql {

/// One step of an apply: what a diff shows of it, and what it needs to be carried out.
struct PlannedStep {
  ProjectChange change;
  catalog::ObjectPtr object;           ///< As the transaction has it; null for a drop.
  std::optional<LoadQuery> rows;       ///< What fills the table: at create, recreate and load.
  const Declared* declared = nullptr;  ///< Null for a drop.
};
/// In the order of dependency, drops first.
using ProjectPlan = std::vector<PlannedStep>;

/// Makes `transaction` what the project `files.name` says, and returns how: the transaction then is
/// what an apply commits once rows are written, and what a diff gives up. Outside of the
/// transaction nothing changes; files are read for their columns and hashes. `declared` as
/// parse_project() gives it. Errors, with file and line: those of define(); conflict when something
/// that the project does not own is in the way, or depends on what has to go.
Result<ProjectPlan> plan_project(const std::shared_ptr<Core>& core, const ProjectFiles& files,
                                 const std::vector<Declared>& declared,
                                 catalog::Transaction& transaction);

}  // namespace ziwa::sql
