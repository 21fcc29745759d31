#pragma once

#include "base/ids.h"
#include "data/schema.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace ziwa::catalog {

/// `WATERMARK FOR column AS column - delay`: per partition, the greatest `column` seen less
/// `delay_us`.
struct Watermark {
  std::string column;
  int64_t delay_us = 0;
  int64_t idle_timeout_ms = 60'000;
  friend bool operator==(const Watermark&, const Watermark&) = default;
};

/// A log of records, seen as a table.
struct TopicDefinition {
  data::Schema schema;          ///< Empty: raw, the columns are only _key and _value.
  std::string format = "json";  ///< json, avro, raw
  int32_t partitions = 1;
  std::string
      partition_by;  ///< Column that INSERT and `ziwa produce` use as the record key; empty: none.
  std::optional<Watermark> watermark;
  int64_t retention_ms = 7LL * 24 * 3600 * 1000;
  int64_t retention_bytes = -1;
  uint64_t segment_bytes = 128u << 20;
  friend bool operator==(const TopicDefinition&, const TopicDefinition&) = default;
};

/// `month(ts)` etc.; transform is identity, year, month, day, hour.
struct PartitionField {
  std::string column;
  std::string transform = "identity";
  std::string name;  ///< Name of the Delta partition column: the column itself, or e.g. "ts_month".
  friend bool operator==(const PartitionField&, const PartitionField&) = default;
};

/// Rows that a project's file gave to a table: written and synced, and promised by the catalog, but
/// perhaps not in the Delta table yet.
struct PendingLoad {
  int64_t replaces = -1;           ///< The Delta version whose files it takes away.
  std::vector<std::string> files;  ///< Delta `add` actions as JSON.
  friend bool operator==(const PendingLoad&, const PendingLoad&) = default;
};

/// A Delta table in the lake.
struct TableDefinition {
  data::Schema schema;
  std::vector<PartitionField> partitioned_by;
  /// Directory of a Delta table that lies elsewhere. Empty: the table is managed, see
  /// table_directory(); so it moves with its data directory.
  std::string location;
  std::string
      loaded_from_hash;     ///< Content hash of the file that a project loaded into it, or empty.
  std::string loaded_from;  ///< `file` option: path inside the project, or empty.
  uint64_t loads = 0;       ///< Loads after the first: `txn` version of the Delta commit.
  /// Data files that the last load wrote; what else is in the table came from somebody else.
  std::vector<std::string> loaded_files;
  std::optional<PendingLoad> pending_load;
  friend bool operator==(const TableDefinition&, const TableDefinition&) = default;
};

/// A query whose answer is kept up to date.
struct ViewDefinition {
  data::Schema schema;
  std::string query;  ///< The SELECT as the user wrote it.
  std::string plan;   ///< stream::Plan, encoded; a restart loads it and plans nothing.
  friend bool operator==(const ViewDefinition&, const ViewDefinition&) = default;
};

/// What flows from a topic or view into a lake table.
struct SinkDefinition {
  ObjectId from;  ///< A topic or a view.
  ObjectId into;  ///< A lake table.
  int64_t commit_interval_ms = 5'000;
  uint64_t file_bytes = 64u << 20;
  friend bool operator==(const SinkDefinition&, const SinkDefinition&) = default;
};

using Definition = std::variant<TopicDefinition, TableDefinition, ViewDefinition, SinkDefinition>;
/// In the order of Definition.
enum class Kind : unsigned char { topic, table, view, sink };

/// One thing that exists. Immutable; a change makes a new one with the same id and a higher
/// version.
struct Object {
  ObjectId id;
  std::string schema = "public";
  std::string name;
  uint64_t version = 1;  ///< Catalog version that made this version of the object.
  std::string sql;       ///< Statement that made it, normalised.
  std::string project;   ///< Owning project, or empty.
  TimestampMs created;
  std::vector<ObjectId> depends_on;
  Definition definition;

  Kind kind() const { return static_cast<Kind>(definition.index()); }
  const TopicDefinition& topic() const { return std::get<TopicDefinition>(definition); }
  const TableDefinition& table() const { return std::get<TableDefinition>(definition); }
  const ViewDefinition& view() const { return std::get<ViewDefinition>(definition); }
  const SinkDefinition& sink() const { return std::get<SinkDefinition>(definition); }
};

/// "topic", "table", "view", "sink".
std::string_view kind_name(Kind kind);

/// Where the files of a table are: its location, or <lake>/<id>, which no other table ever has.
/// `lake` is the folder of the managed tables of this data directory.
std::string table_directory(const Object& table, std::string_view lake);

}  // namespace ziwa::catalog
