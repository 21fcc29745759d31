#pragma once

#include "duck/catalog_api.h"

namespace ziwa::sql {

/// Plans INSERT and COPY FROM into a topic or lake table. Errors (thrown): unsupported inside BEGIN
/// ... COMMIT, with RETURNING, and for views and system tables.
duckdb::PhysicalOperator& plan_insert(duckdb::ClientContext& context,
                                      duckdb::PhysicalPlanGenerator& planner,
                                      duckdb::LogicalInsert& op,
                                      duckdb::optional_ptr<duckdb::PhysicalOperator> plan);

}  // namespace ziwa::sql
