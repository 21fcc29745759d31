#pragma once

#include "base/result.h"
#include "catalog/objects.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace ziwa::sql {

/// A piece of the statement with its byte offset there.
struct TextSpan {
  std::string text;
  size_t position = 0;
};

/// `name` or `schema.name` or `db.schema.name`.
struct QualifiedName {
  std::string schema;  ///< Empty: the session's current schema.
  std::string name;
  size_t position = 0;
};

/// `name = value` of a WITH (...) list; the value as text, without quotes.
struct Option {
  std::string name;
  std::string value;
  size_t position = 0;
};

/// `name type [NOT NULL]`
struct ColumnDefinition {
  std::string name;
  TextSpan type;
  bool not_null = false;
  size_t position = 0;
};

/// `WATERMARK FOR column AS column - INTERVAL ...`
struct WatermarkClause {
  std::string column;
  int64_t delay_us = 0;
  size_t position = 0;
};

/// `month(ts)` or `country`.
struct PartitionClause {
  std::string column;
  std::string transform = "identity";
  size_t position = 0;
};

/// `CREATE TOPIC name (columns, WATERMARK ...) WITH (...)`
struct CreateTopic {
  QualifiedName name;
  bool if_not_exists = false;
  std::vector<ColumnDefinition> columns;
  std::optional<WatermarkClause> watermark;
  std::vector<Option> options;
};
/// `CREATE TABLE name (columns) PARTITIONED BY (...) WITH (...)`, or `... AS SELECT`
struct CreateTable {
  QualifiedName name;
  bool if_not_exists = false;
  std::vector<ColumnDefinition> columns;
  std::vector<PartitionClause> partitioned_by;
  std::vector<Option> options;
  std::optional<TextSpan> query;  ///< CREATE TABLE ... AS.
};
/// `CREATE MATERIALIZED VIEW name WITH (...) AS SELECT ... [EMIT CHANGES | EMIT ON WINDOW CLOSE]`
struct CreateView {
  QualifiedName name;
  bool if_not_exists = false;
  std::vector<Option> options;
  TextSpan query;
  bool on_window_close = false;  ///< EMIT ON WINDOW CLOSE.
};
/// `CREATE SINK name INTO table FROM topic WITH (...)`
struct CreateSink {
  QualifiedName name;
  bool if_not_exists = false;
  QualifiedName into;
  QualifiedName from;
  std::vector<Option> options;
};
/// `DROP TOPIC | TABLE | MATERIALIZED VIEW | SINK [IF EXISTS] name [CASCADE]`
struct Drop {
  catalog::Kind kind = catalog::Kind::topic;
  QualifiedName name;
  bool if_exists = false;
  bool cascade = false;
};
/// `EXPLAIN STREAM SELECT ... [EMIT ...]` or `EXPLAIN STREAM [MATERIALIZED] VIEW name`
struct ExplainStream {
  std::optional<QualifiedName> view;
  TextSpan query;  ///< If there is no view.
  bool on_window_close = false;
};
/// `CALL ziwa.name(literal, ...)`
struct Call {
  struct Argument {
    std::string value;
    bool is_text = false;
    size_t position = 0;
  };
  std::string function;
  std::vector<Argument> arguments;
  size_t position = 0;
};
/// `DELETE FROM topic WHERE _offset < n [AND _partition = p]`
struct DeleteRecords {
  QualifiedName topic;
  int64_t before = 0;  ///< -1: the end.
  std::optional<int32_t> partition;
};
/// BEGIN, COMMIT or ROLLBACK. Not prepared by DuckDB: what COMMIT does depends on how the
/// transaction fared meanwhile.
struct TransactionControl {
  enum class Verb : unsigned char { begin, commit, rollback } verb = Verb::begin;
  bool read_only = false;
};
/// Everything that DuckDB runs, after our rewriting.
struct Foreign {
  std::string verb;         ///< First word, upper case: "SELECT", "INSERT", "BEGIN".
  std::string replacement;  ///< Not empty: the text to run instead (SHOW TOPICS is a SELECT over
                            ///< ziwa.topics).
};

using Statement = std::variant<Foreign, CreateTopic, CreateTable, CreateView, CreateSink, Drop,
                               ExplainStream, Call, DeleteRecords, TransactionControl>;

/// Parses what is ours and recognises what DuckDB may run; refuses what no session may do (LOAD,
/// engine settings ...). `sql` is one statement without its semicolon. Errors:
/// invalid_argument with the position; permission; unsupported, naming what exists instead.
Result<Statement> parse_statement(std::string_view sql);

/// Bytes of one statement at most; longer ones are refused with exhausted.
inline constexpr size_t kStatementBytesMax = 16u << 20;

/// "INTERVAL '5 seconds'" as microseconds: `5`, `second`. Errors: invalid_argument naming the
/// units.
Result<int64_t> interval_us(std::string_view amount, std::string_view unit);

}  // namespace ziwa::sql
