#include "base/settings.h"
#include "base/text.h"
#include "sql/statement_parser.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace ziwa::sql {
namespace {

struct Unit {
  std::string_view name;
  int64_t us;
};
constexpr std::array kUnits = {
    Unit{"microsecond", 1},        Unit{"millisecond", 1'000},  Unit{"second", 1'000'000},
    Unit{"minute", 60'000'000},    Unit{"hour", 3'600'000'000}, Unit{"day", 86'400'000'000},
    Unit{"week", 604'800'000'000},
};

/// Words that end a column's type.
bool starts_constraint(const Token& token) {
  for (std::string_view word : {"NOT", "NULL", "PRIMARY", "UNIQUE", "DEFAULT", "CHECK",
                                "REFERENCES", "COLLATE", "GENERATED", "CONSTRAINT", "AS"}) {
    if (token.is(word)) return true;
  }
  return false;
}

Status parse_constraints(TokenCursor& cursor, ColumnDefinition& column) {
  while (!cursor.peek().is_symbol(",") && !cursor.peek().is_symbol(")")) {
    if (cursor.accept("NOT", "NULL")) {
      column.not_null = true;
    } else if (cursor.peek().is("PRIMARY")) {
      return Error(Code::unsupported, "PRIMARY KEY is not built: topics and tables are append-only")
          .at(cursor.peek().position);
    } else if (starts_constraint(cursor.peek()) && !cursor.peek().is("NULL")) {
      return Error(Code::unsupported, "{} is not built for columns", cursor.peek().text)
          .with_hint("NOT NULL is")
          .at(cursor.peek().position);
    } else if (!cursor.accept("NULL")) {
      return cursor.unexpected("\",\" or \")\"");
    }
  }
  return {};
}

Result<ColumnDefinition> parse_column(TokenCursor& cursor) {
  ColumnDefinition column;
  column.position = cursor.peek().position;
  column.name = TRY(cursor.identifier("a column name"));
  size_t first = cursor.index();
  int depth = 0;
  while (!cursor.done()) {
    const Token& token = cursor.peek();
    if (depth == 0 && (token.is_symbol(",") || token.is_symbol(")") || starts_constraint(token)))
      break;
    if (token.is_symbol("(")) ++depth;
    if (token.is_symbol(")")) --depth;
    cursor.next();
  }
  column.type = cursor.since(first);
  if (column.type.text.empty()) return cursor.unexpected("a type");
  TRY(parse_constraints(cursor, column));
  return column;
}

Result<WatermarkClause> parse_watermark(TokenCursor& cursor) {
  WatermarkClause watermark;
  watermark.position = cursor.peek().position;
  watermark.column = TRY(cursor.identifier("a column"));
  if (!cursor.accept("AS")) return watermark;
  size_t position = cursor.peek().position;
  std::string again = TRY(cursor.identifier("a column"));
  if (lower(again) != lower(watermark.column)) {
    return Error(Code::unsupported, "a watermark is its own column less an interval")
        .with_hint("WATERMARK FOR ts AS ts - INTERVAL 5 SECOND")
        .at(position);
  }
  if (!cursor.accept_symbol("-")) return watermark;
  watermark.delay_us = TRY(parse_interval(cursor));
  return watermark;
}

struct Elements {
  std::vector<ColumnDefinition> columns;
  std::optional<WatermarkClause> watermark;
};

/// `( column, column, WATERMARK FOR ... )`
Result<Elements> parse_elements(TokenCursor& cursor) {
  Elements elements;
  TRY(cursor.expect_symbol("("));
  do {
    if (cursor.accept("WATERMARK", "FOR")) {
      if (elements.watermark) return cursor.unexpected("one WATERMARK only");
      elements.watermark = TRY(parse_watermark(cursor));
    } else if (cursor.peek().is("PRIMARY") || cursor.peek().is("CONSTRAINT") ||
               cursor.peek().is("FOREIGN")) {
      return Error(Code::unsupported, "table constraints are not built")
          .with_hint("NOT NULL behind a column is")
          .at(cursor.peek().position);
    } else {
      elements.columns.push_back(TRY(parse_column(cursor)));
    }
  } while (cursor.accept_symbol(","));
  TRY(cursor.expect_symbol(")"));
  return elements;
}

Result<std::vector<PartitionClause>> parse_partitioned_by(TokenCursor& cursor) {
  std::vector<PartitionClause> fields;
  if (!cursor.accept("PARTITIONED", "BY")) return fields;
  TRY(cursor.expect_symbol("("));
  do {
    PartitionClause field;
    field.position = cursor.peek().position;
    field.column = TRY(cursor.identifier("a column"));
    if (cursor.accept_symbol("(")) {
      field.transform = lower(field.column);
      field.column = TRY(cursor.identifier("a column"));
      TRY(cursor.expect_symbol(")"));
    }
    fields.push_back(std::move(field));
  } while (cursor.accept_symbol(","));
  TRY(cursor.expect_symbol(")"));
  return fields;
}

Result<Statement> create_topic(TokenCursor& cursor) {
  CreateTopic topic;
  topic.if_not_exists = cursor.accept("IF", "NOT") && cursor.accept("EXISTS");
  topic.name = TRY(cursor.qualified_name("a topic name"));
  if (cursor.peek().is_symbol("(")) {
    Elements elements = TRY(parse_elements(cursor));
    topic.columns = std::move(elements.columns);
    topic.watermark = std::move(elements.watermark);
  }
  topic.options = TRY(parse_options(cursor));
  TRY(cursor.expect_end());
  return topic;
}

Result<Statement> create_table(TokenCursor& cursor) {
  CreateTable table;
  table.if_not_exists = cursor.accept("IF", "NOT") && cursor.accept("EXISTS");
  table.name = TRY(cursor.qualified_name("a table name"));
  if (cursor.peek().is_symbol("(")) {
    Elements elements = TRY(parse_elements(cursor));
    if (elements.watermark) {
      return Error(Code::unsupported, "only topics have a WATERMARK")
          .at(elements.watermark->position);
    }
    table.columns = std::move(elements.columns);
  }
  table.partitioned_by = TRY(parse_partitioned_by(cursor));
  if (cursor.peek().is("CLUSTERED")) {
    return Error(Code::unsupported, "CLUSTERED BY is not built")
        .with_hint("PARTITIONED BY is")
        .at(cursor.peek().position);
  }
  table.options = TRY(parse_options(cursor));
  if (cursor.accept("AS")) {
    if (!table.columns.empty()) {
      return Error(Code::unsupported, "CREATE TABLE takes columns or AS SELECT, not both")
          .at(cursor.peek().position);
    }
    if (cursor.done()) return cursor.unexpected("a SELECT");
    table.query = cursor.rest();
    return table;
  }
  if (table.columns.empty()) return cursor.unexpected("columns or AS SELECT");
  TRY(cursor.expect_end());
  return table;
}

Result<Statement> create_view(TokenCursor& cursor) {
  CreateView view;
  view.if_not_exists = cursor.accept("IF", "NOT") && cursor.accept("EXISTS");
  view.name = TRY(cursor.qualified_name("a view name"));
  if (cursor.peek().is_symbol("(")) {
    return Error(Code::unsupported, "a column list is not built for views")
        .with_hint("name the columns in the SELECT with AS")
        .at(cursor.peek().position);
  }
  view.options = TRY(parse_options(cursor));
  TRY(cursor.expect("AS"));
  if (cursor.done()) return cursor.unexpected("a SELECT");
  view.query = cursor.rest();
  view.on_window_close = TRY(strip_emit(view.query));
  return view;
}

Result<Statement> create_sink(TokenCursor& cursor) {
  CreateSink sink;
  sink.if_not_exists = cursor.accept("IF", "NOT") && cursor.accept("EXISTS");
  sink.name = TRY(cursor.qualified_name("a sink name"));
  TRY(cursor.expect("INTO"));
  sink.into = TRY(cursor.qualified_name("a table"));
  TRY(cursor.expect("FROM"));
  sink.from = TRY(cursor.qualified_name("a topic or view"));
  sink.options = TRY(parse_options(cursor));
  TRY(cursor.expect_end());
  return sink;
}

Result<std::string> parse_option_value(TokenCursor& cursor) {
  std::string sign = cursor.accept_symbol("-") ? "-" : "";
  const Token& token = cursor.peek();
  bool text = token.kind == TokenKind::string || token.kind == TokenKind::word ||
              token.kind == TokenKind::quoted;
  if (token.kind != TokenKind::number && !(text && sign.empty()))
    return cursor.unexpected("a value");
  return sign + cursor.next().value();
}

}  // namespace

Result<int64_t> interval_us(std::string_view amount, std::string_view unit) {
  double number = 0;
  auto [end, error] = std::from_chars(amount.data(), amount.data() + amount.size(), number);
  if (error != std::errc() || end != amount.data() + amount.size()) {
    return Error(Code::invalid_argument, "\"{}\" is not a number", amount)
        .because(Cause::invalid_value)
        .with_hint("INTERVAL '5 seconds'");
  }
  std::string name = lower(unit);
  if (name.size() > 1 && name.ends_with('s')) name.pop_back();
  for (const Unit& known : kUnits) {
    if (known.name != name) continue;
    double us = number * static_cast<double>(known.us);
    if (!(us >= -9.0e18 && us <= 9.0e18))
      return Error(Code::invalid_argument, "the interval is too long")
          .because(Cause::invalid_value);
    return static_cast<int64_t>(us);
  }
  return Error(Code::invalid_argument,
               "\"{}\" is not a unit of time that always has the same length", unit)
      .because(Cause::invalid_value)
      .with_hint("use milliseconds, seconds, minutes, hours, days or weeks");
}

Result<int64_t> parse_interval(TokenCursor& cursor) {
  TRY(cursor.expect("INTERVAL"));
  size_t position = cursor.peek().position;
  bool parenthesis = cursor.accept_symbol("(");
  const Token& token = cursor.peek();
  if (token.kind != TokenKind::number && token.kind != TokenKind::string)
    return cursor.unexpected("an interval");
  std::string text = cursor.next().value();
  if (parenthesis) TRY(cursor.expect_symbol(")"));
  std::string unit;
  size_t split = text.find_first_not_of("0123456789.+-");
  if (split != std::string::npos) {
    size_t begin = text.find_first_not_of(' ', split);
    unit = begin == std::string::npos ? "" : text.substr(begin);
    text.resize(split);
  }
  if (unit.empty()) unit = TRY(cursor.identifier("a unit such as SECOND"));
  auto us = interval_us(text, unit);
  if (!us) return std::move(us.error()).at(position);
  return *us;
}

Result<bool> strip_emit(TextSpan& query) {
  const std::vector<Token> tokens = TRY(tokenize(query.text));
  auto ends_with = [&](std::initializer_list<std::string_view> words) {
    const size_t last = tokens.size() - 1;  // The end.
    if (last <= words.size()) return false;
    return std::equal(words.begin(), words.end(),
                      tokens.begin() + static_cast<ptrdiff_t>(last - words.size()),
                      [](std::string_view word, const Token& token) { return token.is(word); });
  };
  const bool closed = ends_with({"EMIT", "ON", "WINDOW", "CLOSE"});
  if (!closed && !ends_with({"EMIT", "CHANGES"})) return false;
  query.text.resize(tokens[tokens.size() - (closed ? 6 : 4)].end());
  return closed;
}

Result<std::vector<Option>> parse_options(TokenCursor& cursor) {
  std::vector<Option> options;
  if (!cursor.accept("WITH")) return options;
  TRY(cursor.expect_symbol("("));
  if (cursor.accept_symbol(")")) return options;
  do {
    Option option;
    option.position = cursor.peek().position;
    option.name = lower(TRY(cursor.identifier("an option")));
    TRY(cursor.expect_symbol("="));
    option.value = TRY(parse_option_value(cursor));
    for (const Option& other : options) {
      if (other.name != option.name) continue;
      return Error(Code::invalid_argument, "option {} is given twice", option.name)
          .because(Cause::syntax_error)
          .at(option.position);
    }
    options.push_back(std::move(option));
  } while (cursor.accept_symbol(","));
  TRY(cursor.expect_symbol(")"));
  return options;
}

Result<Statement> parse_create(TokenCursor& cursor) {
  size_t position = cursor.peek().position;
  bool replace = cursor.accept("OR", "REPLACE");
  if (cursor.peek().is("TEMP") || cursor.peek().is("TEMPORARY")) return Foreign{"CREATE", {}};
  if (replace) {
    return Error(Code::unsupported, "CREATE OR REPLACE is not built")
        .with_hint("DROP it, then CREATE it")
        .at(position);
  }
  if (cursor.accept("TOPIC")) return create_topic(cursor);
  if (cursor.accept("TABLE")) return create_table(cursor);
  if (cursor.accept("SINK")) return create_sink(cursor);
  if (cursor.accept("MATERIALIZED", "VIEW")) return create_view(cursor);
  if (cursor.peek().is("VIEW")) {
    return Error(Code::unsupported, "plain views are not built")
        .with_hint(
            "CREATE MATERIALIZED VIEW keeps its rows up to date; CREATE TEMP VIEW lives as long as "
            "the session")
        .at(cursor.peek().position);
  }
  if (cursor.peek().is("SCHEMA")) {
    return Error(Code::unsupported, "CREATE SCHEMA is not built")
        .with_hint("a schema is there as soon as an object is created in it")
        .at(cursor.peek().position);
  }
  if (cursor.done() || cursor.peek().kind != TokenKind::word) {
    return cursor.unexpected("TOPIC, TABLE, MATERIALIZED VIEW or SINK");
  }
  return Error(Code::unsupported, "CREATE {} is not built", cursor.peek().text)
      .with_hint("there are CREATE TOPIC, TABLE, MATERIALIZED VIEW and SINK")
      .at(cursor.peek().position);
}

}  // namespace ziwa::sql
