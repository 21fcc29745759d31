#pragma once

#include "stream/testing/plan_builder.h"

#include <fmt/format.h>

#include <string>

// What most tests of the engine look at: rows (id, k), a view that copies them, one that counts,
// and one that joins them with a table of names.
namespace ziwa::stream::testing {

inline const PlanBuilder::Columns kColumns = {{"id", "BIGINT"}, {"k", "VARCHAR"}};
inline const PlanBuilder::Columns kCounts = {{"k", "VARCHAR"}, {"n", "BIGINT"}};
inline const PlanBuilder::Columns kNames = {{"k", "VARCHAR"}, {"name", "VARCHAR"}};

/// Rows of `kColumns` for each k: the columns are `kCounts`.
inline Plan counts(ObjectId from) {
  PlanBuilder b;
  auto s = b.source(from, kColumns);
  b.aggregate(s, {b.column(s, 1)}, {{.function = "count_star"}}, kCounts);
  return b.build({0});
}

/// All rows of two columns. `key`: the columns that identify one; none: a view that only grows.
inline Plan copy_of(ObjectId from, const PlanBuilder::Columns& columns = kColumns,
                    const std::vector<uint32_t>& key = {}) {
  PlanBuilder b;
  auto s = b.source(from, columns);
  b.project(s, {b.column(s, 0), b.column(s, 1)}, columns);
  return b.build(key);
}

/// Rows of a topic or view, counted by the name that table `names` (`kNames`) has for column `key`.
inline Plan joined(ObjectId from, const PlanBuilder::Columns& columns, size_t key, ObjectId names) {
  PlanBuilder b;
  auto s = b.source(from, columns);
  auto n = b.source(names, kNames);
  auto j = b.join(
      s, n,
      JoinNode{
          .left_keys = {b.column(s, key)}, .right_keys = {b.column(n, 0)}, .null_safe = {false}});
  b.aggregate(j, {b.column(n, 1)}, {{.function = "count_star"}},
              {{"name", "VARCHAR"}, {"n", "BIGINT"}});
  return b.build({0});
}

inline std::string record(int id, const std::string& key = "a") {
  return fmt::format(R"({{"id":{},"k":"{}"}})", id, key);
}

}  // namespace ziwa::stream::testing
