#pragma once

#include "sql/testing/query_generator.h"
#include "state/store.h"
#include "stream/dataflow.h"
#include "stream/testing/table_text.h"

#include <functional>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

// A query over tables that change, as views keep it: planned once, fed with an epoch after the
// other, its rows to be compared with what DuckDB answers on the rows that there are.
namespace ziwa::sql::testing {

using Random = std::mt19937_64;
using Row = std::vector<duckdb::Value>;

/// A table that changes.
struct ChangingTable {
  ObjectId id;
  GeneratedTable of;
  std::vector<std::string> types;  ///< One per column.
  std::function<Row(Random&)> make;
  bool append_only = false;

  std::string create_sql() const;
};

/// One row comes (+1) or goes (-1).
struct Change {
  size_t table = 0;
  size_t row = 0;  ///< In History::rows of the table.
  stream::Weight weight = 1;
};
using Changes = std::vector<Change>;

/// What happens to the tables: rows, and per epoch which come and go. A row that is there never
/// goes before it came.
struct History {
  std::vector<std::vector<Row>> rows;  ///< Per table.
  std::vector<Changes> epochs;
};

/// Inserts, deletes, updates (several of one row in an epoch), duplicates, rows that come back,
/// rows that come and go in one epoch, and tables that are emptied.
History make_history(const std::vector<ChangingTable>& tables, size_t epochs, Random& random);

/// The plans of a query's views and, last, of the query.
struct PlannedQuery {
  std::vector<std::pair<std::string, stream::Plan>> plans;
};
/// Errors: unsupported (a refusal); others are the generator's or the planner's fault.
Result<PlannedQuery> plan_query(duckdb::Connection& connection,
                                const std::vector<ChangingTable>& tables,
                                const GeneratedQuery& query);

/// The operator as the coverage table calls it ("join"), and its forms ("left join", ...).
std::string operator_name(const stream::Node& node);
std::vector<std::string> form_names(const stream::Node& node);

/// A running chain of views.
class LiveQuery {
 public:
  struct Options {
    bool upserts = false;  ///< The result takes upserts, as a view with a key does.
  };
  static Result<std::unique_ptr<LiveQuery>> create(duck::Instance& instance,
                                                   const PlannedQuery& query,
                                                   const std::vector<ChangingTable>& tables,
                                                   Options options);
  ~LiveQuery();

  /// Gives changes to the sources in this order, in chunks of random sizes.
  Status feed(const History& history, const Changes& changes, Random& random);
  /// Ends a step.
  Status finish();
  /// Writes the state, and goes on from what was written.
  Status restart();

  const stream::testing::Bag& bag() const;
  /// Rows on which an operator failed.
  const stream::testing::Bag& errors() const;
  /// Nodes of plan `view` that took rows back since the last call, by id.
  std::vector<bool> take_retractions(size_t view);
  const PlannedQuery& planned() const { return query_; }

 private:
  struct Parts;
  LiveQuery(const PlannedQuery& query, const std::vector<ChangingTable>& tables, Options options);
  Status compile();

  const PlannedQuery& query_;
  const std::vector<ChangingTable>& tables_;
  Options options_;
  std::unique_ptr<Parts> parts_;
};

/// The rows of a view and of a batch answer that differ, as text; empty: the bags are equal, floats
/// to 12 digits.
std::string bags_differ(const stream::testing::Bag& got, const stream::testing::Bag& wanted);

}  // namespace ziwa::sql::testing
