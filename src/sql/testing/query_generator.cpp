#include "sql/testing/query_generator.h"

#include <fmt/format.h>

#include <algorithm>

namespace ziwa::sql::testing {
namespace {

using Columns = std::vector<GeneratedColumn>;

constexpr size_t kTwiceTextMax = 400;

std::string list_names(const Columns& columns, const std::string& alias) {
  std::string text;
  for (const auto& column : columns) {
    text += fmt::format("{}{}.{}", text.empty() ? "" : ", ", alias, column.name);
  }
  return text;
}

Columns stale(Columns columns) {
  for (auto& column : columns) column.fresh = false;
  return columns;
}

}  // namespace

std::string GeneratedQuery::batch() const {
  if (views.empty()) return sql;
  std::string text;
  for (const auto& [name, select] : views) {
    text += fmt::format("{}{} AS ({})", text.empty() ? "WITH " : ", ", name, select);
  }
  return fmt::format("{} SELECT * FROM ({}) whole", text, sql);
}

const std::vector<std::string_view>& QueryGenerator::operators() {
  static const std::vector<std::string_view> kNames = {
      "filter", "project", "window",    "session",       "aggregate", "join",    "asof_join",
      "top_n",  "over",    "union_all", "set_operation", "unnest",    "distinct"};
  return kNames;
}

GeneratedQuery QueryGenerator::next(const std::vector<std::string>& wanted) {
  GeneratedQuery query;
  Relation relation = source();
  auto name_a_view = [&] {
    auto name = fmt::format("view{}", query.views.size() + 1);
    query.views.emplace_back(name, relation.sql);
    relation.sql = "SELECT * FROM " + name;
  };
  for (const auto& name : wanted) {
    relation = apply(name, std::move(relation));
    if (once_in(30)) name_a_view();
  }
  const uint64_t count = wanted.empty() ? 2 + below(3) : 0;
  for (uint64_t i = 0; i < count; ++i) {
    relation = apply(one_of(operators()), std::move(relation));
    if (once_in(10)) name_a_view();
  }
  query.sql = relation.sql;
  return query;
}

std::string QueryGenerator::literal(ColumnKind kind) {
  switch (kind) {
    case ColumnKind::integer:
      return fmt::format("({})", static_cast<int>(below(9)) - 3);
    case ColumnKind::text:
      return pick({"'a'", "'b'", "'c'", "'d'", "''"});
    case ColumnKind::real:
      return pick({"0.5::DOUBLE", "(-1.25)::DOUBLE", "0.0::DOUBLE", "'nan'::DOUBLE",
                   "'inf'::DOUBLE", "2.0::DOUBLE"});
    case ColumnKind::decimal:
      return pick(
          {"1.25::DECIMAL(9,2)", "(-0.5)::DECIMAL(9,2)", "0::DECIMAL(9,2)", "2.50::DECIMAL(9,2)"});
    case ColumnKind::time:
      return fmt::format("TIMESTAMP '2026-01-01 00:{:02}:00'", below(20));
    case ColumnKind::boolean:
      return pick({"true", "false"});
    case ColumnKind::list:
      return pick({"[1, 2]", "[]::INTEGER[]", "[NULL, 3]", "NULL::INTEGER[]"});
  }
  return "NULL";
}

std::optional<GeneratedColumn> QueryGenerator::find(const Columns& columns, ColumnKind kind) {
  Columns found;
  for (const auto& column : columns) {
    if (column.kind != kind) continue;
    found.push_back(column);
    if (column.fresh) found.insert(found.end(), 3, column);
  }
  if (found.empty()) return std::nullopt;
  return one_of(found);
}

Columns QueryGenerator::decisive(const Columns& columns) {
  Columns out;
  for (const auto& column : columns) {
    if (column.exact && column.kind != ColumnKind::list) out.push_back(column);
  }
  return out;
}

/// In a random order, mostly one that the operator below made first: DuckDB leaves out an operator
/// whose columns nobody reads.
Columns QueryGenerator::shuffled(Columns columns) {
  std::shuffle(columns.begin(), columns.end(), random_);
  auto fresh = std::ranges::find(columns, true, &GeneratedColumn::fresh);
  if (fresh != columns.end() && !once_in(6)) std::iter_swap(columns.begin(), fresh);
  return columns;
}

std::string QueryGenerator::comparison(const std::string& left, const std::string& right) {
  return fmt::format("({} {} {})", left,
                     pick({"=", "<>", "<", "<=", ">", ">=", "<>", "IS NOT DISTINCT FROM",
                           "IS DISTINCT FROM", "IS DISTINCT FROM"}),
                     right);
}

/// Of exact columns, so it is exact; none of them fails, whatever order they are computed in.
std::string QueryGenerator::expression(const Columns& all, const std::string& alias,
                                       ColumnKind kind, int depth) {
  Columns columns;
  for (const auto& column : all) {
    if (column.exact) columns.push_back(column);
  }
  auto column = find(columns, kind);
  auto again = [&](ColumnKind of) { return expression(columns, alias, of, depth + 1); };
  const bool deep = depth >= 2;
  if (!deep && once_in(8)) {
    return fmt::format("CASE WHEN {} THEN {} ELSE {} END", predicate(columns, alias, depth + 1),
                       again(kind), once_in(3) ? "NULL" : again(kind));
  }
  if (!deep && once_in(8)) return fmt::format("coalesce({}, {})", again(kind), literal(kind));
  if (!column && deep) return literal(kind);
  auto plain = [&] { return column ? alias + "." + column->name : literal(kind); };
  switch (kind) {
    case ColumnKind::integer:
      if (!deep && once_in(4)) return fmt::format("({} + {})", again(kind), below(3));
      if (!deep && once_in(6)) return fmt::format("({} % {})", again(kind), 2 + below(3));
      if (!deep && once_in(8)) return fmt::format("greatest({}, {})", again(kind), again(kind));
      if (!column) {
        if (auto text = find(columns, ColumnKind::text))
          return fmt::format("length({}.{})", alias, text->name);
        if (auto time = find(columns, ColumnKind::time))
          return fmt::format("minute({}.{})", alias, time->name);
      }
      return plain();
    case ColumnKind::text:
      if (!deep && once_in(5)) return fmt::format("({} || 'x')", again(kind));
      if (!deep && once_in(5)) return fmt::format("upper({})", again(kind));
      if (!deep && once_in(5)) return fmt::format("substr({}, 1, 2)", again(kind));
      if (!column) return fmt::format("({})::VARCHAR", again(ColumnKind::integer));
      return plain();
    case ColumnKind::real:
      if (!deep && once_in(5)) return fmt::format("({} * 0.5::DOUBLE)", again(kind));
      if (!deep && once_in(5)) return fmt::format("abs({})", again(kind));
      if (!column) return fmt::format("({})::DOUBLE", again(ColumnKind::integer));
      return plain();
    case ColumnKind::decimal:
      return plain();
    case ColumnKind::time:
      return plain();
    case ColumnKind::boolean:
      if (column && once_in(2)) return plain();
      return deep ? literal(kind) : predicate(columns, alias, depth + 1);
    case ColumnKind::list:
      if (column && once_in(2)) return plain();
      return fmt::format("[{}]", again(ColumnKind::integer));
  }
  return plain();
}

std::string QueryGenerator::predicate(const Columns& all, const std::string& alias, int depth) {
  Columns columns;
  for (const auto& column : decisive(all)) {
    columns.push_back(column);
    if (column.fresh) columns.insert(columns.end(), 2, column);
  }
  if (columns.empty()) return "(1 = 1)";
  if (depth < 2 && once_in(5)) {
    return fmt::format("({} {} {})", predicate(columns, alias, depth + 1), pick({"AND", "OR"}),
                       predicate(columns, alias, depth + 1));
  }
  if (depth < 2 && once_in(10))
    return fmt::format("(NOT {})", predicate(columns, alias, depth + 1));
  const auto& column = one_of(columns);
  const std::string text = alias + "." + column.name;
  if (once_in(8)) return fmt::format("({} IS {}NULL)", text, pick({"", "NOT ", "NOT "}));
  if (column.kind == ColumnKind::boolean && once_in(2)) return text;
  if (column.kind == ColumnKind::text && once_in(4))
    return fmt::format("({} LIKE '{}%')", text, static_cast<char>('a' + below(3)));
  if (once_in(6))
    return fmt::format("({} IN ({}, {}))", text, literal(column.kind), literal(column.kind));
  if (once_in(4)) return comparison(text, expression(columns, alias, column.kind, depth + 1));
  return comparison(text, literal(column.kind));
}

std::string QueryGenerator::order_by(const Columns& columns, const std::string& alias) {
  Columns order = columns;
  std::shuffle(order.begin(), order.end(), random_);
  std::string text;
  for (const auto& column : order) {
    text += fmt::format("{}{}.{}{}{}", text.empty() ? "" : ", ", alias, column.name,
                        pick({"", " DESC"}), pick({"", " NULLS FIRST", " NULLS LAST"}));
  }
  return text;
}

Relation QueryGenerator::source() {
  const auto& table = one_of(tables_);
  Relation relation;
  std::string names;
  Columns columns = table.columns;
  std::shuffle(columns.begin(), columns.end(), random_);
  const size_t wanted = std::min<size_t>(columns.size(), 2 + below(4));
  bool decides = false;
  for (size_t i = 0; i < columns.size() && (i < wanted || !decides); ++i) {
    GeneratedColumn column = columns[i];
    decides = decides || column.kind == ColumnKind::integer || column.kind == ColumnKind::text;
    column.name = new_name();
    names += fmt::format("{}{} AS {}", names.empty() ? "" : ", ", columns[i].name, column.name);
    relation.columns.push_back(std::move(column));
  }
  relation.sql = fmt::format("SELECT {} FROM {}", names, table.name);
  return relation;
}

/// The other side of an operator of two inputs.
Relation QueryGenerator::small() {
  Relation relation = source();
  if (!once_in(3)) return relation;
  static const std::vector<std::string_view> kCheap = {"filter", "project", "aggregate", "distinct",
                                                       "unnest"};
  return apply(one_of(kCheap), std::move(relation));
}

Relation QueryGenerator::apply(std::string_view name, Relation input) {
  if (name == "filter") return once_in(5) ? subquery(input) : filter(input);
  if (name == "project") return project(input);
  if (name == "window") return windowed(input, false);
  if (name == "session") return windowed(input, true);
  if (name == "aggregate") return aggregated(input);
  if (name == "join") return join(std::move(input));
  if (name == "asof_join") return asof_join(input);
  if (name == "top_n") return top_n(input);
  if (name == "over") return over(input);
  if (name == "union_all")
    return once_in(4) ? grouping_sets(input) : combine(input, "UNION ALL", false);
  if (name == "set_operation") {
    return combine(input,
                   pick({"EXCEPT", "EXCEPT ALL", "EXCEPT ALL", "INTERSECT", "INTERSECT",
                         "INTERSECT ALL", "INTERSECT ALL"}),
                   true);
  }
  if (name == "unnest") return unnest(input);
  return once_in(3) ? combine(input, "UNION", true) : distinct(input);
}

Relation QueryGenerator::filter(const Relation& input) {
  auto alias = new_alias();
  return {.sql = fmt::format("SELECT * FROM ({}) {} WHERE {}", input.sql, alias,
                             predicate(input.columns, alias)),
          .columns = input.columns};
}

Relation QueryGenerator::project(const Relation& input) {
  auto alias = new_alias();
  Relation out;
  std::string list;
  const size_t count = 1 + below(4);
  const Columns columns = shuffled(input.columns);
  for (size_t i = 0; i <= count; ++i) {
    const auto& column = i == 1 ? columns.front() : one_of(columns);
    const bool computed = i == 0 || (column.exact && once_in(2));
    auto kind = computed && i > 0 ? column.kind
                                  : (computed ? static_cast<ColumnKind>(below(6)) : column.kind);
    auto text = computed ? expression(input.columns, alias, kind) : alias + "." + column.name;
    out.columns.push_back(
        {.name = new_name(), .kind = kind, .exact = computed || column.exact, .fresh = computed});
    list += fmt::format("{}{} AS {}", list.empty() ? "" : ", ", text, out.columns.back().name);
  }
  out.sql = fmt::format("SELECT {} FROM ({}) {}", list, input.sql, alias);
  return out;
}

std::pair<std::string, GeneratedColumn> QueryGenerator::aggregate(const Columns& columns,
                                                                  const std::string& alias,
                                                                  bool windowed) {
  auto made = [](std::string text, ColumnKind kind, bool exact = true) {
    return std::pair(std::move(text),
                     GeneratedColumn{.name = {}, .kind = kind, .exact = exact, .fresh = true});
  };
  const auto column = once_in(2) ? one_of(columns) : shuffled(columns).front();
  const std::string x = alias + "." + column.name;
  const bool list = column.kind == ColumnKind::list;
  const char* distinct = !list && column.exact && !windowed && once_in(5) ? "DISTINCT " : "";
  if (once_in(6)) return made("count(*)", ColumnKind::integer);
  if (once_in(6)) return made(fmt::format("count({}{})", distinct, x), ColumnKind::integer);
  if (list) {
    return made(fmt::format("{}({})", pick({"min", "max"}), x), ColumnKind::list);
  }
  if (once_in(4))
    return made(fmt::format("{}({})", pick({"min", "max"}), x), column.kind, column.exact);
  if (column.exact && once_in(5)) {
    switch (below(6)) {
      case 0:
        return made(fmt::format("quantile_disc({}, {})", x, pick({"0.25", "0.5", "0.9"})),
                    column.kind);
      case 1:
        return made(fmt::format("{}({} ORDER BY {}{})", pick({"first", "last", "any_value"}), x, x,
                                pick({"", " DESC", " NULLS FIRST"})),
                    column.kind);
      case 2:
        return made(fmt::format("mode({} ORDER BY {})", x, x), column.kind);
      case 3:
        return made(fmt::format("count(*) FILTER ({})", predicate(columns, alias)),
                    ColumnKind::integer);
      case 4:
        return made(fmt::format("{}({}, {})", pick({"arg_min", "arg_max"}), x, x), column.kind);
      default:
        return made(fmt::format("bool_{}({})", pick({"and", "or"}), predicate(columns, alias)),
                    ColumnKind::boolean);
    }
  }
  switch (column.kind) {
    case ColumnKind::integer:
      switch (below(9)) {
        case 0:
          return made(fmt::format("avg({}{})", distinct, x), ColumnKind::real, false);
        case 1:
          return made(fmt::format("median({})", x), ColumnKind::real);
        case 2:
          return made(fmt::format("quantile_cont({}, {})", x, pick({"0.25", "0.5", "0.75"})),
                      ColumnKind::real);
        case 3:
          if (once_in(3))
            return made(fmt::format("{}({}::BIGINT, 2)", pick({"min", "max"}), x),
                        ColumnKind::list);
          return made(fmt::format("list({}{}::BIGINT ORDER BY {}::BIGINT{})", distinct, x, x,
                                  pick({"", " DESC"})),
                      ColumnKind::list);
        case 4:
          return made(fmt::format("{}({})", pick({"stddev_pop", "var_samp", "var_pop"}), x),
                      ColumnKind::real, false);
        case 5:
          return made(fmt::format("bit_{}({})", pick({"and", "or", "xor"}), x),
                      ColumnKind::integer);
        default:
          return made(fmt::format("sum({}{})", distinct, x), ColumnKind::integer);
      }
    case ColumnKind::text:
      if (windowed) return made(fmt::format("max({})", x), ColumnKind::text);
      return made(fmt::format("string_agg({}, '-' ORDER BY {}{})", x, x, pick({"", " DESC"})),
                  ColumnKind::text);
    case ColumnKind::real:
      if (once_in(2)) return made(fmt::format("avg({})", x), ColumnKind::real, false);
      return made(fmt::format("sum({}{})", distinct, x), ColumnKind::real, column.exact);
    case ColumnKind::decimal:
      if (once_in(3)) return made(fmt::format("avg({})", x), ColumnKind::real, false);
      return made(fmt::format("sum({}{})", distinct, x), ColumnKind::decimal);
    case ColumnKind::boolean:
      return made(fmt::format("bool_{}({})", pick({"and", "or"}), x), ColumnKind::boolean);
    default:
      return made(fmt::format("{}({})", pick({"min", "max"}), x), column.kind, column.exact);
  }
}

Relation QueryGenerator::aggregated(const Relation& input) {
  auto alias = new_alias();
  Relation out;
  std::string list;
  std::string groups;
  auto add = [&](const std::string& text, GeneratedColumn column) {
    column.name = new_name();
    list += fmt::format("{}{} AS {}", list.empty() ? "" : ", ", text, column.name);
    out.columns.push_back(std::move(column));
  };
  Columns keys = shuffled(decisive(input.columns));
  if (once_in(2)) std::ranges::reverse(keys);
  keys.resize(std::min<size_t>(keys.size(), once_in(6) ? 0 : 1 + below(2)));
  for (const auto& key : keys) {
    auto text = once_in(5) ? expression(keys, alias, key.kind) : alias + "." + key.name;
    // DuckDB reads a constant in GROUP BY as a position or refuses it.
    if (text.find(alias + ".") == std::string::npos) text = alias + "." + key.name;
    add(text, {.name = {}, .kind = key.kind, .exact = true, .fresh = false});
    groups += fmt::format("{}{}", groups.empty() ? "" : ", ", text);
  }
  const size_t calls = 1 + below(3);
  for (size_t i = 0; i < calls; ++i) {
    auto [text, column] = aggregate(input.columns, alias, false);
    if (text.find("FILTER") == std::string::npos && once_in(6)) {
      text += fmt::format(" FILTER ({})", predicate(input.columns, alias));
    }
    add(text, column);
  }
  out.sql = fmt::format("SELECT {} FROM ({}) {}", list, input.sql, alias);
  if (!groups.empty()) out.sql += " GROUP BY " + groups;
  if (once_in(5)) out.sql += fmt::format(" HAVING count(*) > {}", below(3));
  return out;
}

Relation QueryGenerator::grouping_sets(const Relation& input) {
  Columns keys = decisive(input.columns);
  if (keys.size() < 2) return combine(input, "UNION ALL", false);
  keys = shuffled(std::move(keys));
  auto alias = new_alias();
  const std::string a = alias + "." + keys[0].name;
  const std::string b = alias + "." + keys[1].name;
  Relation out;
  auto [text, column] = aggregate(input.columns, alias, false);
  column.name = new_name();
  out.columns = {{.name = new_name(), .kind = keys[0].kind},
                 {.name = new_name(), .kind = keys[1].kind},
                 column,
                 {.name = new_name(), .kind = ColumnKind::integer, .exact = true, .fresh = true}};
  auto sets = fmt::format(
      fmt::runtime(pick({"ROLLUP ({0}, {1})", "CUBE ({0}, {1})", "GROUPING SETS (({0}), ({1}), ())",
                         "GROUPING SETS (({0}, {1}), ({1}))"})),
      a, b);
  out.sql = fmt::format(
      "SELECT {} AS {}, {} AS {}, {} AS {}, grouping({}, {}) AS {} FROM ({}) {} "
      "GROUP BY {}",
      a, out.columns[0].name, b, out.columns[1].name, text, column.name, a, b, out.columns[3].name,
      input.sql, alias, sets);
  return out;
}

Relation QueryGenerator::join(Relation input) {
  if (once_in(4)) return subquery(input);
  if (once_in(8)) return self_join(input);
  if (once_in(10)) return cross_join(input);
  Relation other = small();
  if (once_in(2)) std::swap(input, other);
  return join_of(input, other,
                 pick({"JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "FULL JOIN", "SEMI JOIN",
                       "SEMI JOIN", "SEMI JOIN", "ANTI JOIN", "ANTI JOIN"}));
}

Relation QueryGenerator::join_of(const Relation& left, const Relation& right, const char* words) {
  auto a = new_alias();
  auto b = new_alias();
  auto sides = [&](ColumnKind kind) -> std::optional<std::pair<std::string, std::string>> {
    auto l = find(decisive(left.columns), kind);
    auto r = find(decisive(right.columns), kind);
    if (!l || !r) return std::nullopt;
    return std::pair(a + "." + l->name, b + "." + r->name);
  };
  std::vector<ColumnKind> kinds = {ColumnKind::text,    ColumnKind::integer, ColumnKind::time,
                                   ColumnKind::decimal, ColumnKind::real,    ColumnKind::boolean};
  if (once_in(2)) std::swap(kinds[0], kinds[1]);
  if (once_in(6)) std::shuffle(kinds.begin(), kinds.end(), random_);
  std::string on;
  const size_t keys = 1 + (once_in(4) ? 1 : 0);
  size_t found = 0;
  for (auto kind : kinds) {
    if (found == keys) break;
    auto pair = sides(kind);
    if (!pair) continue;
    on += fmt::format("{}{} {} {}", found++ > 0 ? " AND " : "", pair->first,
                      once_in(4) ? "IS NOT DISTINCT FROM" : "=", pair->second);
  }
  if (found == 0) {
    on = fmt::format("{} = {}", expression(left.columns, a, ColumnKind::text),
                     expression(right.columns, b, ColumnKind::text));
  }
  if (once_in(3)) {
    auto pair = sides(one_of(kinds));
    if (pair && once_in(2)) {
      on += fmt::format(" AND {} {} {}", pair->first, pick({"<", "<>", ">="}), pair->second);
    } else if (once_in(2)) {
      on += fmt::format(" AND ({} OR {})", predicate(left.columns, a), predicate(right.columns, b));
    } else {
      on += " AND " + (once_in(2) ? predicate(left.columns, a) : predicate(right.columns, b));
    }
  }
  Relation out;
  std::string list;
  auto add = [&](const Relation& side, const std::string& alias, bool fresh) {
    for (const auto& column : side.columns) {
      if (out.columns.size() >= 7) break;
      out.columns.push_back(column);
      out.columns.back().name = new_name();
      out.columns.back().fresh = fresh;
      list += fmt::format("{}{}.{} AS {}", list.empty() ? "" : ", ", alias, column.name,
                          out.columns.back().name);
    }
  };
  const std::string_view kind = words;
  const bool left_only = kind.starts_with("SEMI") || kind.starts_with("ANTI");
  add(left, a, kind.starts_with("RIGHT") || kind.starts_with("FULL"));
  if (!left_only) add(right, b, kind.starts_with("LEFT") || kind.starts_with("FULL"));
  out.sql = fmt::format("SELECT {} FROM ({}) {} {} ({}) {} ON {}", list, left.sql, a, words,
                        right.sql, b, on);
  return out;
}

/// A CTE that is read twice.
Relation QueryGenerator::self_join(const Relation& input) {
  auto name = new_alias();
  Relation table{.sql = "SELECT * FROM " + name, .columns = input.columns};
  Relation out = once_in(3) ? combine(table, "UNION ALL", false)
                            : join_of(table, once_in(2) ? table : filter(table),
                                      pick({"JOIN", "LEFT JOIN", "FULL JOIN", "ANTI JOIN"}));
  out.sql =
      fmt::format("WITH {} AS {}({}) {}", name, pick({"", "MATERIALIZED "}), input.sql, out.sql);
  return out;
}

/// With the one row of an aggregate without groups.
Relation QueryGenerator::cross_join(const Relation& input) {
  auto a = new_alias();
  auto b = new_alias();
  auto c = new_alias();
  Relation other = small();
  auto [text, column] = aggregate(other.columns, c, false);
  Relation out{.sql = {}, .columns = stale(input.columns)};
  column.name = new_name();
  out.columns.push_back(column);
  out.sql = fmt::format("SELECT {}, {}.{} FROM ({}) {} {} (SELECT {} AS {} FROM ({}) {}) {}",
                        list_names(input.columns, a), b, column.name, input.sql, a, "CROSS JOIN",
                        text, column.name, other.sql, c, b);
  return out;
}

Relation QueryGenerator::subquery(const Relation& input) {
  Relation other = small();
  auto a = new_alias();
  auto b = new_alias();
  std::optional<GeneratedColumn> x;
  std::optional<GeneratedColumn> y;
  std::optional<std::pair<std::string, std::string>> correlated;
  for (const auto& column : decisive(input.columns)) {
    auto like = find(decisive(other.columns), column.kind);
    if (!like) continue;
    if (!x || (column.fresh && !x->fresh)) {
      x = column;
      y = like;
    }
    if (!correlated || once_in(2)) {
      correlated.emplace(a + "." + column.name, b + "." + like->name);
    }
  }
  if (!x) return join_of(input, other, "SEMI JOIN");
  std::string where;
  if (once_in(2)) {
    where = fmt::format(" WHERE {} {} {}", correlated->second,
                        once_in(4) ? "IS NOT DISTINCT FROM" : "=", correlated->first);
    if (once_in(3)) where += " AND " + predicate(other.columns, b);
  } else if (once_in(2)) {
    where = " WHERE " + predicate(other.columns, b);
  }
  const std::string in = fmt::format("{}.{} {}IN (SELECT {}.{} FROM ({}) {}{})", a, x->name,
                                     pick({"", "NOT "}), b, y->name, other.sql, b, where);
  const std::string exists =
      fmt::format("{}EXISTS (SELECT 1 FROM ({}) {}{})", pick({"", "NOT "}), other.sql, b, where);
  Relation out{.sql = {}, .columns = stale(input.columns)};
  auto whole = fmt::format("({}) {}", input.sql, a);
  switch (below(8)) {
    case 0:
      out.sql = fmt::format("SELECT * FROM {} WHERE {}", whole, in);
      return out;
    case 6: {
      auto [text, column] = aggregate(other.columns, b, false);
      column.name = new_name();
      out.columns.push_back(column);
      auto c = new_alias();
      out.sql = fmt::format("SELECT {}, {}.{} FROM {}, LATERAL (SELECT {} AS {} FROM ({}) {}{}) {}",
                            list_names(input.columns, a), c, column.name, whole, text, column.name,
                            other.sql, b, where, c);
      return out;
    }
    case 7:
      out.sql = fmt::format("SELECT * FROM {} WHERE {}.{} = ANY (SELECT {}.{} FROM ({}) {}{})",
                            whole, a, x->name, b, y->name, other.sql, b, where);
      return out;
    case 1:
      out.sql = fmt::format("SELECT * FROM {} WHERE {}", whole, exists);
      return out;
    case 2:
      out.sql = fmt::format("SELECT * FROM {} WHERE ({}) OR {}", whole, once_in(2) ? in : exists,
                            predicate(input.columns, a));
      return out;
    case 3:
      out.columns.push_back(
          {.name = new_name(), .kind = ColumnKind::boolean, .exact = true, .fresh = true});
      out.sql = fmt::format("SELECT {}, {} AS {} FROM {}", list_names(input.columns, a),
                            once_in(2) ? in : exists, out.columns.back().name, whole);
      return out;
    case 4: {
      auto [text, column] = aggregate(other.columns, b, false);
      column.name = new_name();
      out.columns.push_back(column);
      out.sql =
          fmt::format("SELECT {}, (SELECT {} FROM ({}) {}{}) AS {} FROM {}",
                      list_names(input.columns, a), text, other.sql, b, where, column.name, whole);
      return out;
    }
    default:
      out.sql = fmt::format("SELECT * FROM {} WHERE {}.{} {} (SELECT {}({}.{}) FROM ({}) {}{})",
                            whole, a, x->name, pick({"=", "<", ">=", "<>"}), pick({"min", "max"}),
                            b, y->name, other.sql, b, where);
      return out;
  }
}

/// With the nearest row of another relation, which has one row per key and order: of several,
/// nobody says which. DuckDB takes NULL for a late one, so nothing is compared with NULL.
Relation QueryGenerator::asof_join(const Relation& whole) {
  const Relation input = only_decisive(whole);
  const Relation other = small();
  std::vector<std::pair<GeneratedColumn, GeneratedColumn>> pairs;
  for (const auto& column : shuffled(input.columns)) {
    if (auto like = find(decisive(other.columns), column.kind)) pairs.emplace_back(column, *like);
  }
  if (pairs.empty()) return join_of(input, other, "FULL JOIN");
  const auto a = new_alias();
  const auto b = new_alias();
  const auto c = new_alias();
  const std::string value = new_name();
  const ColumnKind kind = pairs[0].second.kind;
  const std::string x = fmt::format("{}.{}", a, pairs[0].first.name);
  const std::string y = fmt::format("{}.{}", c, pairs[0].second.name);
  std::string versions = fmt::format("SELECT coalesce({}, {}) AS {}", y, literal(kind), value);
  std::string on = fmt::format("coalesce({}, {}) {} {}.{}", x, literal(kind),
                               pick({">=", ">", "<=", "<"}), b, value);
  Relation out{.sql = {}, .columns = stale(input.columns)};
  std::string list = list_names(input.columns, a);
  auto add = [&](const std::string& name, GeneratedColumn column) {
    column.name = new_name();
    list += fmt::format(", {}.{} AS {}", b, name, column.name);
    out.columns.push_back(std::move(column));
  };
  add(value, {.name = {}, .kind = kind, .exact = true, .fresh = true});
  if (pairs.size() > 1 && !once_in(4)) {
    const std::string key = new_name();
    versions += fmt::format(", {}.{} AS {}", c, pairs[1].second.name, key);
    on += fmt::format(" AND {}.{} = {}.{}", a, pairs[1].first.name, b, key);
  }
  auto [text, column] = aggregate(other.columns, c, false);
  if (column.kind == ColumnKind::list) {  // No part of a row that is kept by itself.
    text = "count(*)";
    column.kind = ColumnKind::integer;
  }
  const std::string payload = new_name();
  versions += fmt::format(", {} AS {} FROM ({}) {} GROUP BY ALL", text, payload, other.sql, c);
  add(payload, column);
  out.sql = fmt::format("SELECT {} FROM ({}) {} ASOF {} ({}) {} ON {}", list, input.sql, a,
                        pick({"JOIN", "LEFT JOIN"}), versions, b, on);
  return out;
}

/// UNION, EXCEPT, INTERSECT. `keyed`: rows are compared, so only what is decisive goes in.
Relation QueryGenerator::combine(const Relation& whole, const std::string& words, bool keyed) {
  const Relation input = keyed ? only_decisive(whole) : whole;
  // Twice the same, and so on, grows without bound.
  const bool twice = input.sql.size() < kTwiceTextMax && !once_in(keyed ? 4 : 2);
  Relation other = twice ? input : small();
  if (twice && !once_in(3)) other = filter(other);
  Columns columns = shuffled(input.columns);
  // Of one column with few values all are there, always: nothing is taken back.
  const size_t width = keyed ? (once_in(5) ? 1 : 2 + below(2)) : 4;
  columns.resize(std::min(columns.size(), width));
  auto a = new_alias();
  auto b = new_alias();
  Relation out;
  std::string left;
  std::string right;
  for (const auto& column : columns) {
    auto like = find(keyed ? decisive(other.columns) : other.columns, column.kind);
    const char* comma = left.empty() ? "" : ", ";
    out.columns.push_back({.name = new_name(),
                           .kind = column.kind,
                           .exact = column.exact && (!like || like->exact),
                           .fresh = true});
    left += fmt::format("{}{}.{} AS {}", comma, a, column.name, out.columns.back().name);
    right += comma + (like ? b + "." + like->name : literal(column.kind));
  }
  auto one = fmt::format("SELECT {} FROM ({}) {}", left, input.sql, a);
  auto two = fmt::format("SELECT {} FROM ({}) {}", right, other.sql, b);
  std::string names;
  for (const auto& column : out.columns) names += (names.empty() ? "" : ", ") + column.name;
  if (once_in(2)) std::swap(one, two);
  out.sql = fmt::format("SELECT * FROM (({}) {} ({})) {}({})", one, words, two, new_alias(), names);
  return out;
}

Relation QueryGenerator::only_decisive(const Relation& input) {
  auto columns = decisive(input.columns);
  if (columns.size() == input.columns.size()) return input;
  if (columns.empty()) {
    auto alias = new_alias();
    auto name = new_name();
    return {.sql = fmt::format("SELECT count(*) AS {} FROM ({}) {}", name, input.sql, alias),
            .columns = {{.name = name}}};
  }
  auto alias = new_alias();
  return {
      .sql = fmt::format("SELECT {} FROM ({}) {}", list_names(columns, alias), input.sql, alias),
      .columns = columns};
}

Relation QueryGenerator::distinct(const Relation& input) {
  Relation out = only_decisive(input);
  out.columns = shuffled(std::move(out.columns));
  out.columns.resize(std::min<size_t>(out.columns.size(), 1 + below(3)));
  auto alias = new_alias();
  out.sql = fmt::format("SELECT DISTINCT {} FROM ({}) {}", list_names(out.columns, alias), out.sql,
                        alias);
  return out;
}

std::string QueryGenerator::list_of(const Columns& columns, const std::string& alias,
                                    ColumnKind& element) {
  element = ColumnKind::integer;
  auto list = find(columns, ColumnKind::list);
  if (list && once_in(2)) return alias + "." + list->name;
  auto x = expression(columns, alias, ColumnKind::integer);
  switch (below(4)) {
    case 0:
      return fmt::format("[{}, {}]", x, expression(columns, alias, ColumnKind::integer));
    case 1:
      return fmt::format("range((abs({}) % 3)::BIGINT)", x);
    case 2:
      return fmt::format("CASE WHEN {} THEN [{}] ELSE [] END", predicate(columns, alias), x);
    default: {
      element = ColumnKind::text;
      return fmt::format("[{}, 'b', NULL]", expression(columns, alias, ColumnKind::text));
    }
  }
}

Relation QueryGenerator::unnest(const Relation& input) {
  auto alias = new_alias();
  ColumnKind element = ColumnKind::integer;
  auto list = list_of(input.columns, alias, element);
  Relation out{.sql = {}, .columns = stale(input.columns)};
  out.columns.push_back({.name = new_name(), .kind = element, .exact = true, .fresh = true});
  out.sql =
      fmt::format("SELECT {}, unnest({}) AS {} FROM ({}) {}", list_names(input.columns, alias),
                  list, out.columns.back().name, input.sql, alias);
  return out;
}

Relation QueryGenerator::top_n(const Relation& whole) {
  Relation input = only_decisive(whole);
  auto alias = new_alias();
  auto names = list_names(input.columns, alias);
  auto order = order_by(input.columns, alias);
  Relation out = input;
  const auto& key = one_of(input.columns);
  switch (below(4)) {
    case 0:
      out.sql = fmt::format("SELECT DISTINCT ON ({0}.{1}) {2} FROM ({3}) {0} ORDER BY {0}.{1}, {4}",
                            alias, key.name, names, input.sql, order);
      out.sql = fmt::format("SELECT * FROM ({}) {}", out.sql, new_alias());
      return out;
    case 1: {
      auto rank = new_name();
      out.columns = stale(out.columns);
      out.columns.push_back(
          {.name = rank, .kind = ColumnKind::integer, .exact = true, .fresh = true});
      out.sql = fmt::format(
          "SELECT * FROM (SELECT {0}, row_number() OVER ({1}ORDER BY {2}) AS {3} FROM ({4}) {5}) "
          "WHERE {3} {6}",
          names, once_in(4) ? "" : fmt::format("PARTITION BY {}.{} ", alias, key.name), order, rank,
          input.sql, alias, pick({"= 1", "<= 2", "< 4", "<= 5"}));
      return out;
    }
    default:
      out.sql = fmt::format("SELECT * FROM (SELECT {} FROM ({}) {} ORDER BY {} LIMIT {}{}) {}",
                            names, input.sql, alias, order, 2 + below(5),
                            once_in(3) ? " OFFSET 1" : "", new_alias());
      return out;
  }
}

std::string QueryGenerator::partition_by(const Columns& columns, const std::string& alias) {
  return once_in(4) ? "" : fmt::format("PARTITION BY {}.{} ", alias, one_of(columns).name);
}

/// `total`: partition and order by all columns. Calls that see single rows share it: of two orders
/// nobody says which of equal rows has which answers of both.
std::pair<std::string, GeneratedColumn> QueryGenerator::over_call(const Columns& columns,
                                                                  const std::string& alias,
                                                                  const std::string& total) {
  const auto& column = one_of(columns);
  const std::string x = alias + "." + column.name;
  const std::string partial =
      partition_by(columns, alias) +
      fmt::format("ORDER BY {}.{}{}", alias, one_of(columns).name, pick({"", " DESC"}));
  auto made = [&](const std::string& call, ColumnKind kind, const std::string& of,
                  bool exact = true) {
    return std::pair(fmt::format("{} OVER ({})", call, of),
                     GeneratedColumn{.name = {}, .kind = kind, .exact = exact, .fresh = true});
  };
  const char* rows = pick({"ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING", "ROWS 2 PRECEDING",
                           "ROWS BETWEEN 1 FOLLOWING AND 3 FOLLOWING",
                           "ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
                           "ROWS BETWEEN 2 PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW"});
  switch (below(10)) {
    case 0:
      return made("row_number()", ColumnKind::integer, total);
    case 1:
      return made(pick({"rank()", "dense_rank()"}), ColumnKind::integer, partial);
    case 2:
      return made(pick({"percent_rank()", "cume_dist()"}), ColumnKind::real, partial, false);
    case 3:
      return made(fmt::format("{}({}{})", pick({"lag", "lead"}), x,
                              once_in(3) ? ", 2" : (once_in(3) ? " IGNORE NULLS" : "")),
                  column.kind, total);
    case 4:
      return made(fmt::format("lag({}, 1, {})", x, literal(column.kind)), column.kind, total);
    case 5:
      return made(fmt::format("{}({})", pick({"first_value", "last_value"}), x), column.kind,
                  total + (once_in(2) ? fmt::format(" {}", rows) : ""));
    case 6:
      return made(fmt::format("nth_value({}, 2)", x), column.kind, total);
    case 7:
      return made("ntile(3)", ColumnKind::integer, total);
    default: {
      auto [call, out] = aggregate(columns, alias, true);
      std::string of;
      switch (below(5)) {
        case 0:
          of = partition_by(columns, alias);
          break;
        case 1:
          of = partial;
          break;
        case 2:
          of = partial + " GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING" +
               pick({"", " EXCLUDE TIES", " EXCLUDE GROUP"});
          break;
        default:
          of = fmt::format("{} {}", total, rows);
      }
      if (auto number = find(columns, ColumnKind::integer); number && once_in(6)) {
        of = fmt::format("{}ORDER BY {}.{} RANGE BETWEEN 1 PRECEDING AND 2 FOLLOWING",
                         partition_by(columns, alias), alias, number->name);
      }
      return made(call, out.kind, of, out.exact);
    }
  }
}

Relation QueryGenerator::over(const Relation& whole) {
  Relation input = only_decisive(whole);
  auto alias = new_alias();
  Relation out = input;
  out.columns = stale(out.columns);
  std::string calls;
  const size_t count = 1 + below(2);
  const auto total =
      partition_by(input.columns, alias) + "ORDER BY " + order_by(input.columns, alias);
  for (size_t i = 0; i < count; ++i) {
    auto [text, column] = over_call(input.columns, alias, total);
    column.name = new_name();
    calls += fmt::format(", {} AS {}", text, column.name);
    out.columns.push_back(std::move(column));
  }
  out.sql = fmt::format("SELECT {}{} FROM ({}) {}", list_names(input.columns, alias), calls,
                        input.sql, alias);
  if (once_in(5)) {
    const auto rank = new_name();
    out = input;
    out.columns = stale(out.columns);
    const auto& key = one_of(input.columns);
    const auto& by = one_of(input.columns);
    out.sql = fmt::format(
        "SELECT {0} FROM ({1}) {2} QUALIFY {3}() OVER (PARTITION BY {2}.{4} "
        "ORDER BY {2}.{5}) <= {6}",
        list_names(input.columns, alias), input.sql, alias, pick({"rank", "dense_rank"}), key.name,
        by.name, 1 + below(2));
  }
  return out;
}

Relation QueryGenerator::with_time(const Relation& input, GeneratedColumn& time) {
  auto found = find(input.columns, ColumnKind::time);
  if (found && !once_in(4)) {
    time = *found;
    return input;
  }
  auto alias = new_alias();
  Relation out = input;
  time = {.name = new_name(), .kind = ColumnKind::time};
  out.columns.push_back(time);
  out.sql = fmt::format(
      "SELECT {}, TIMESTAMP '2026-01-01' + to_minutes((abs({}) % 20)::BIGINT) AS {} FROM ({}) {}",
      list_names(input.columns, alias), expression(input.columns, alias, ColumnKind::integer),
      time.name, input.sql, alias);
  return out;
}

Relation QueryGenerator::windowed(const Relation& whole, bool session) {
  GeneratedColumn time;
  Relation input = with_time(whole, time);
  auto alias = new_alias();
  std::string call;
  if (session) {
    auto keys = decisive(input.columns);
    call = fmt::format(
        "session(({}){}, {}, INTERVAL {} MINUTES)", input.sql,
        keys.empty() || once_in(4) ? "" : fmt::format(" PARTITION BY {}", one_of(keys).name),
        time.name, 1 + below(4));
  } else {
    call = fmt::format(
        fmt::runtime(pick({"tumble(({0}), {1}, INTERVAL 4 MINUTES)",
                           "tumble(({0}), {1}, INTERVAL 5 MINUTES, INTERVAL 2 MINUTES)",
                           "hop(({0}), {1}, INTERVAL 3 MINUTES, INTERVAL 6 MINUTES)",
                           "hop(({0}), {1}, INTERVAL 5 MINUTES, INTERVAL 5 MINUTES)",
                           "cumulate(({0}), {1}, INTERVAL 2 MINUTES, INTERVAL 6 MINUTES)"})),
        input.sql, time.name);
  }
  Relation out{.sql = {}, .columns = stale(input.columns)};
  out.columns.push_back(
      {.name = new_name(), .kind = ColumnKind::time, .exact = true, .fresh = true});
  out.columns.push_back(
      {.name = new_name(), .kind = ColumnKind::time, .exact = true, .fresh = true});
  out.sql =
      fmt::format("SELECT {}, {}.window_start AS {}, {}.window_end AS {} FROM {} {}",
                  list_names(input.columns, alias), alias, out.columns[out.columns.size() - 2].name,
                  alias, out.columns.back().name, call, alias);
  return out;
}

}  // namespace ziwa::sql::testing
