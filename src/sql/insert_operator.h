#pragma once

#include "duck/catalog_api.h"

namespace ziwa::sql {

/// Plans INSERT and COPY FROM into a topic or lake table. Inside BEGIN ... COMMIT the rows are held
/// by the transaction until it commits. Errors (thrown): unsupported with RETURNING, and for views;
/// permission for system tables.
duckdb::PhysicalOperator& plan_insert(duckdb::ClientContext& context,
                                      duckdb::PhysicalPlanGenerator& planner,
                                      duckdb::LogicalInsert& op,
                                      duckdb::optional_ptr<duckdb::PhysicalOperator> plan);

}  // namespace ziwa::sql
