#pragma once

#include "catalog/catalog.h"
#include "duck/expression.h"
#include "sql/core.h"
#include "sql/session_state.h"
#include "sql/statement.h"
#include "stream/plan.h"

#include <string>
#include <vector>

namespace ziwa::sql {

/// What a SELECT is bound against: a catalog that need not be committed, and the schemas that bare
/// names are looked up in, in order.
struct BindContext {
  std::shared_ptr<Core> core;
  catalog::SnapshotPtr catalog;
  std::vector<std::string> path;      ///< Schemas, never empty; objects are made in the first.
  std::string folder = {};            ///< See SessionState.
  UncommittedScans uncommitted = {};  ///< See SessionState.
  /// Columns of the query of a CREATE TABLE AS that runs already.
  std::optional<std::vector<duck::NamedType>> query_columns = {};

  const std::string& schema() const { return path.front(); }
};

/// A connection of our own that is bound like `context` inside an open transaction, so that it
/// touches neither a session's settings nor its transaction.
Result<std::unique_ptr<duckdb::Connection>> open_binder(const BindContext& context);

/// A view's query, ready to run for ever.
struct ViewPlan {
  stream::Plan plan;
  data::Schema schema;
  std::vector<ObjectId> sources;  ///< Objects it reads, each once.
};

/// What a CREATE MATERIALIZED VIEW says beside its query.
struct ViewOptions {
  bool on_window_close = false;     ///< Only rows of closed windows, each once.
  int64_t allowed_lateness_us = 0;  ///< How long windows stay open behind the watermark.
  bool stop_on_error = false;       ///< The view fails at the first row on which it fails.
};

/// Binds and translates a SELECT with time zone UTC. Positions in errors are in the statement that
/// `query` is a piece of. Errors: invalid_argument, not_found; unsupported, naming what cannot be
/// kept incrementally.
Result<ViewPlan> plan_view(const BindContext& context, const TextSpan& query,
                           const ViewOptions& options);

/// The columns of a SELECT, bound in the same way, without running it.
Result<std::vector<duck::NamedType>> describe_query(const BindContext& context,
                                                    const TextSpan& query);

/// Column names and types as a schema with ids from 1. Errors: invalid_argument for names that are
/// empty or double.
Result<data::Schema> make_schema(const std::vector<duck::NamedType>& columns);

/// `error`, its position moved from the rewritten text to the statement: `map` may be null,
/// `offset` is added last.
Error relocate(Error error, const class Rewritten* map, size_t offset);

}  // namespace ziwa::sql
