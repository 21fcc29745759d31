#include "protocol/http/rest_query.h"

#include "base/json_depth.h"
#include "base/settings.h"
#include "base/text.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

namespace ziwa::protocol::http {
namespace {

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text = text.substr(end + 1);
  }
}

Result<uint64_t> number(std::string_view name, std::string_view text) {
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    return Error(Code::invalid_argument, "{} is a number, not \"{}\"", name, text);
  }
  return value;
}

/// (a,b,"c,d") -> a, b, c,d
Result<std::vector<std::string>> list_items(std::string_view text) {
  Error malformed(Code::invalid_argument, "in takes a list like in.(a,b), not \"{}\"", text);
  if (!text.starts_with('(') || !text.ends_with(')') || text.size() < 3) return malformed;
  text = text.substr(1, text.size() - 2);
  std::vector<std::string> items(1);
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') {
      quoted = !quoted;
    } else if (text[i] == '\\' && quoted && i + 1 < text.size()) {
      items.back().push_back(text[++i]);
    } else if (text[i] == ',' && !quoted) {
      items.emplace_back();
    } else {
      items.back().push_back(text[i]);
    }
  }
  if (quoted) return malformed;
  if (items.size() > kListItemsMax) {
    return Error(Code::invalid_argument, "a list has at most {} items", kListItemsMax);
  }
  return items;
}

Result<Filter> parse_filter(const std::string& column, std::string_view value) {
  static const std::map<std::string_view, std::string_view> kOperators = {
      {"eq", "="},   {"neq", "<>"},    {"lt", "<"},        {"lte", "<="}, {"gt", ">"},
      {"gte", ">="}, {"like", "LIKE"}, {"ilike", "ILIKE"}, {"in", "IN"},  {"is", "IS"}};
  Filter filter{.column = column};
  std::string_view rest = value;
  if (rest.starts_with("not.")) rest = rest.substr(4);
  size_t dot = rest.find('.');
  auto op = dot == std::string_view::npos ? kOperators.end() : kOperators.find(rest.substr(0, dot));
  if (op == kOperators.end()) {
    filter.op = "=";
    filter.values = {std::string(value)};
    return filter;
  }
  filter.negated = rest.size() != value.size();
  filter.op = op->second;
  rest = rest.substr(dot + 1);
  if (filter.op == "IN") {
    filter.values = TRY(list_items(rest));
  } else if (filter.op == "IS") {
    static const std::map<std::string_view, std::string_view> kStates = {
        {"null", "IS NULL"},
        {"not_null", "IS NOT NULL"},
        {"true", "IS TRUE"},
        {"false", "IS FALSE"}};
    auto state = kStates.find(rest);
    if (state == kStates.end()) {
      return Error(Code::invalid_argument, "is takes null, not_null, true or false, not \"{}\"",
                   rest);
    }
    filter.op = state->second;
  } else {
    filter.values = {std::string(rest)};
  }
  return filter;
}

Result<std::vector<OrderBy>> parse_order(std::string_view text) {
  std::vector<OrderBy> order;
  for (auto part : split(text, ',')) {
    auto words = split(part, '.');
    OrderBy by{.column = std::string(words[0])};
    for (size_t i = 1; i < words.size(); ++i) {
      if (words[i] == "desc") {
        by.descending = true;
      } else if (words[i] == "nullsfirst") {
        by.nulls_first = true;
      } else if (words[i] != "asc" && words[i] != "nullslast") {
        return Error(Code::invalid_argument,
                     "order takes column.asc|desc.nullsfirst|nullslast, not \"{}\"", part);
      }
    }
    order.push_back(std::move(by));
  }
  return order;
}

Result<std::vector<std::optional<std::string>>> decode_cursor(std::string_view text) {
  Error bad(Code::invalid_argument, "after takes a cursor from the Link header as it is");
  const std::string decoded = TRY(decode_base64(text));
  if (json_nests_deeper(decoded)) return bad;
  auto json = nlohmann::json::parse(decoded, nullptr, false);
  if (!json.is_array()) return bad;
  std::vector<std::optional<std::string>> values;
  for (const auto& item : json) {
    if (!item.is_null() && !item.is_string()) return bad;
    values.push_back(item.is_null() ? std::nullopt
                                    : std::optional<std::string>(item.get<std::string>()));
  }
  return values;
}

bool same_name(std::string_view a, std::string_view b) {
  return std::ranges::equal(
      a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

/// Builds one statement; collects its parameters.
class SqlBuilder {
 public:
  explicit SqlBuilder(const Relation& relation) : relation_(relation) {}

  Result<std::string> column(const std::string& name) const {
    bool known = relation_.columns.empty() ||
                 std::ranges::any_of(relation_.columns,
                                     [&](const auto& column) { return same_name(column, name); });
    if (known && !name.empty()) return quote_name(name);
    Error unknown(Code::invalid_argument, "{}.{} has no column \"{}\"", relation_.schema,
                  relation_.name, name);
    std::string nearest = nearest_name(name, relation_.columns);
    if (nearest.empty()) return unknown;
    return std::move(unknown).with_hint(fmt::format("did you mean \"{}\"?", nearest));
  }

  std::string parameter(std::optional<std::string> value) {
    sql.parameters.push_back(std::move(value));
    return fmt::format("${}", sql.parameters.size());
  }

  Result<std::string> condition(const Filter& filter) {
    std::string text = TRY(column(filter.column));
    if (filter.op == kNever || filter.op == kAlways) {
      text += (filter.op == kNever ? " <> " : " = ") + text;
      return filter.negated ? "NOT (" + text + ")" : text;
    }
    text += " " + filter.op;
    if (filter.op == "IN") {
      text += " (";
      for (size_t i = 0; i < filter.values.size(); ++i) {
        text += (i > 0 ? ", " : "") + parameter(filter.values[i]);
      }
      text += ")";
    } else if (!filter.values.empty()) {
      text += " " + parameter(filter.values[0]);
    }
    return filter.negated ? "NOT (" + text + ")" : text;
  }

  /// Rows that come after the cursor in `order`: (a > x OR (a = x AND (b > y OR ...))), with NULLs
  /// where the order has them.
  Result<std::string> after(const std::vector<OrderBy>& order,
                            const std::vector<std::optional<std::string>>& values) {
    if (values.size() != order.size()) {
      return Error(Code::invalid_argument, "the cursor in after does not belong to this order");
    }
    std::string text;
    for (size_t i = order.size(); i-- > 0;) {
      std::string name = TRY(column(order[i].column));
      std::string beyond = after_one(name, order[i], values[i]);
      if (text.empty()) {
        text = beyond;
        continue;
      }
      std::string equal = values[i] ? name + " = " + parameter(values[i]) : name + " IS NULL";
      text = fmt::format("({} OR ({} AND {}))", beyond, equal, text);
    }
    return text;
  }

  RestSql sql;

 private:
  std::string after_one(const std::string& name, const OrderBy& by,
                        const std::optional<std::string>& value) {
    if (!value) return by.nulls_first ? name + " IS NOT NULL" : "FALSE";
    std::string beyond = name + (by.descending ? " < " : " > ") + parameter(value);
    return by.nulls_first ? beyond : fmt::format("({} OR {} IS NULL)", beyond, name);
  }

  const Relation& relation_;
};

/// The order that was asked for, completed by the key so that no two rows tie.
std::vector<OrderBy> full_order(const Relation& relation, const RestQuery& query) {
  std::vector<OrderBy> order = query.order;
  for (const auto& column : relation.key) {
    bool there =
        std::ranges::any_of(order, [&](const OrderBy& by) { return same_name(by.column, column); });
    if (!there) order.push_back({.column = column});
  }
  return order;
}

}  // namespace

Result<RestQuery> parse_rest_query(const Target& target, uint64_t limit_max) {
  RestQuery query;
  query.limit = std::min(kLimitDefault, limit_max);
  static const std::set<std::string_view> kReserved = {"select", "order",     "limit", "offset",
                                                       "after",  "min_epoch", "wait"};
  std::set<std::string_view> seen;
  for (const auto& [name, value] : target.parameters) {
    if (!kReserved.contains(name)) {
      query.filters.push_back(TRY(parse_filter(name, value)));
      continue;
    }
    if (!seen.insert(name).second) {
      return Error(Code::invalid_argument, "{} is given twice", name);
    }
    if (name == "select") {
      for (auto column : split(value, ',')) {
        if (std::ranges::find(query.select, column) != query.select.end())
          return Error(Code::invalid_argument, "select names {} twice", column);
        query.select.emplace_back(column);
      }
    } else if (name == "order") {
      query.order = TRY(parse_order(value));
    } else if (name == "limit") {
      query.limit = TRY(number(name, value));
      if (query.limit > limit_max) {
        return Error(Code::invalid_argument, "limit is at most {}", limit_max)
            .with_hint("views: follow the Link header for the next rows; others: offset");
      }
    } else if (name == "offset") {
      query.offset = TRY(number(name, value));
    } else if (name == "after") {
      query.after = TRY(decode_cursor(value));
    } else if (name == "min_epoch") {
      query.min_epoch = TRY(number(name, value));
    } else {
      query.wait_ms = TRY(parse_duration_ms(value));
      if (query.wait_ms < 0 || query.wait_ms > kWaitMsMax) {
        return Error(Code::invalid_argument, "wait is at most {} s", kWaitMsMax / 1000);
      }
    }
  }
  if (query.after && query.offset > 0) {
    return Error(Code::invalid_argument, "offset and after exclude each other");
  }
  return query;
}

Result<RestSql> build_rest_sql(const Relation& relation, const RestQuery& query) {
  SqlBuilder builder(relation);
  std::string columns;
  for (const auto& column : query.select) {
    columns += (columns.empty() ? "" : ", ") + TRY(builder.column(column));
  }
  if (columns.empty()) columns = "*";
  auto order = full_order(relation, query);
  std::string order_text;
  for (const auto& by : order) {
    std::string name = TRY(builder.column(by.column));
    order_text += fmt::format("{}{}{}{}", order_text.empty() ? " ORDER BY " : ", ", name,
                              by.descending ? " DESC" : " ASC",
                              by.nulls_first ? " NULLS FIRST" : " NULLS LAST");
    if (!relation.key.empty()) {
      columns += ", " + name;
      ++builder.sql.hidden_columns;
    }
  }
  std::string where;
  for (const auto& filter : query.filters) {
    where += (where.empty() ? " WHERE " : " AND ") + TRY(builder.condition(filter));
  }
  builder.sql.filter_values = builder.sql.parameters.size();
  if (query.after) {
    if (relation.key.empty()) {
      return Error(Code::unsupported, "{}.{} has no key, so it has no cursors", relation.schema,
                   relation.name)
          .with_hint("use offset with an order");
    }
    where += (where.empty() ? " WHERE " : " AND ") + TRY(builder.after(order, *query.after));
  }
  uint64_t limit = query.limit;
  if (relation.key.empty() && limit > 0) {
    builder.sql.rows_shown = limit;
    ++limit;
  }
  builder.sql.text =
      fmt::format("SELECT {} FROM {}.{}{}{} LIMIT {}", columns, quote_name(relation.schema),
                  quote_name(relation.name), where, order_text, limit);
  if (query.offset > 0) builder.sql.text += fmt::format(" OFFSET {}", query.offset);
  return std::move(builder.sql);
}

std::string encode_cursor(const std::vector<std::optional<std::string>>& values) {
  nlohmann::json json = nlohmann::json::array();
  for (const auto& value : values) {
    json.push_back(value ? nlohmann::json(*value) : nlohmann::json());
  }
  // A text from a BLOB column need not be UTF-8; replaced bytes only make the cursor less exact.
  return encode_base64(json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace ziwa::protocol::http
