#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ziwa::sql::testing {

/// What the grammar knows of a column's type; integers of all widths are one.
enum class ColumnKind : uint8_t { integer, text, real, decimal, time, boolean, list };

/// A column of a generated relation.
struct GeneratedColumn {
  std::string name;
  ColumnKind kind = ColumnKind::integer;
  /// False for what two correct engines may round differently: it is shown and summed up, but
  /// decides nothing (no key, no order, no condition).
  bool exact = true;
  bool fresh = false;  ///< Made by the operator on top: conditions ask for it more often.
};

/// A SELECT without an order, and its columns.
struct Relation {
  std::string sql;
  std::vector<GeneratedColumn> columns;
};

/// A base table that queries read.
struct GeneratedTable {
  std::string name;
  std::vector<GeneratedColumn> columns;
};

/// A query over base tables and over the views before it.
struct GeneratedQuery {
  std::vector<std::pair<std::string, std::string>> views;  ///< Name and SELECT.
  std::string sql;
  /// One statement for a batch engine.
  std::string batch() const;
};

/// Generates SELECTs whose answer is defined by the rows alone, from a seeded grammar: operators
/// are applied to a relation from the inside out, each as a subquery of the next. One thread.
class QueryGenerator {
 public:
  QueryGenerator(uint64_t seed, std::vector<GeneratedTable> tables)
      : random_(seed), tables_(std::move(tables)) {}

  /// Operators by their names in a plan ("top_n") that next() can be asked for.
  static const std::vector<std::string_view>& operators();
  /// A query of two to four operators over tables. `wanted`: these instead, each reads the one
  /// before it (DuckDB's optimiser may change their places).
  GeneratedQuery next(const std::vector<std::string>& wanted);

 private:
  using Columns = std::vector<GeneratedColumn>;

  uint64_t below(uint64_t n) { return random_() % n; }
  bool once_in(uint64_t n) { return below(n) == 0; }
  template <typename T>
  const T& one_of(const std::vector<T>& values) {
    return values[below(values.size())];
  }
  const char* pick(std::initializer_list<const char*> values) {
    return values.begin()[below(values.size())];
  }
  std::string new_name() { return "c" + std::to_string(++names_); }
  std::string new_alias() { return "q" + std::to_string(++aliases_); }

  // Expressions over the columns of an alias.
  std::string literal(ColumnKind kind);
  std::string expression(const Columns& columns, const std::string& alias, ColumnKind kind,
                         int depth = 0);
  std::string predicate(const Columns& columns, const std::string& alias, int depth = 0);
  std::string comparison(const std::string& left, const std::string& right);
  std::string list_of(const Columns& columns, const std::string& alias, ColumnKind& element);
  /// A call of an aggregate, and what it gives.
  std::pair<std::string, GeneratedColumn> aggregate(const Columns& columns,
                                                    const std::string& alias, bool windowed);
  std::optional<GeneratedColumn> find(const Columns& columns, ColumnKind kind);
  static Columns decisive(const Columns& columns);
  Columns shuffled(Columns columns);
  std::string order_by(const Columns& columns, const std::string& alias);

  // Operators.
  Relation source();
  Relation small();
  Relation apply(std::string_view name, Relation input);
  Relation filter(const Relation& input);
  Relation project(const Relation& input);
  Relation aggregated(const Relation& input);
  Relation grouping_sets(const Relation& input);
  Relation join(Relation input);
  Relation self_join(const Relation& input);
  Relation cross_join(const Relation& input);
  Relation asof_join(const Relation& whole);
  Relation join_of(const Relation& left, const Relation& right, const char* words);
  Relation subquery(const Relation& input);
  Relation combine(const Relation& input, const std::string& words, bool keyed);
  Relation distinct(const Relation& input);
  Relation unnest(const Relation& input);
  Relation top_n(const Relation& input);
  Relation over(const Relation& input);
  std::string partition_by(const Columns& columns, const std::string& alias);
  std::pair<std::string, GeneratedColumn> over_call(const Columns& columns,
                                                    const std::string& alias,
                                                    const std::string& total);
  Relation windowed(const Relation& input, bool session);
  Relation with_time(const Relation& input, GeneratedColumn& time);
  Relation only_decisive(const Relation& input);

  std::mt19937_64 random_;
  std::vector<GeneratedTable> tables_;
  uint64_t names_ = 0;
  uint64_t aliases_ = 0;
};

}  // namespace ziwa::sql::testing
