#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "lake/table.h"

#include <nlohmann/json.hpp>

#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace ziwa::lake {

/// The actions of the Delta protocol that we read and write. Source: delta PROTOCOL.md, "Actions".
struct Protocol {
  int32_t min_reader = 1;
  int32_t min_writer = 2;
  std::vector<std::string> reader_features;
  std::vector<std::string> writer_features;
};

struct Metadata {
  std::string id;
  std::string name;
  std::string description;
  std::string provider = "parquet";
  std::string schema_string;
  std::vector<std::string> partition_columns;
  std::map<std::string, std::string> configuration;
  std::optional<int64_t> created_ms;
};

struct AddAction {
  DataFilePtr file;
  bool data_change = true;
};

struct RemoveAction {
  std::string path;  ///< Decoded.
  std::string deletion_vector;
  int64_t deleted_ms = 0;
  bool data_change = true;
  /// Present when the writer kept them (extendedFileMetadata).
  std::optional<std::map<std::string, std::optional<std::string>>> partition_values;
  std::optional<uint64_t> size;
};

struct TransactionAction {
  std::string app_id;
  int64_t version = 0;
  std::optional<int64_t> updated_ms;
};

/// What one commit, or one checkpoint, says.
struct Actions {
  std::optional<Protocol> protocol;
  std::optional<Metadata> metadata;
  std::vector<AddAction> adds;
  std::vector<RemoveAction> removes;
  std::vector<TransactionAction> transactions;
  std::vector<std::string>
      sidecars;                ///< Files with more adds and removes, below _delta_log/_sidecars/.
  nlohmann::json commit_info;  ///< null if there is none.
};

/// Reads the newline-delimited JSON of a commit. Unknown actions and fields are skipped. Errors:
/// corrupt.
Result<Actions> parse_commit(ByteView content);

/// Each yields one line's JSON, e.g. {"add":{...}}.
nlohmann::json to_json(const Protocol& protocol);
nlohmann::json to_json(const Metadata& metadata);
nlohmann::json to_json(const AddAction& add);
nlohmann::json to_json(const RemoveAction& remove);
nlohmann::json to_json(const TransactionAction& transaction);

/// The `numRecords` of a statistics text, if there is one.
std::optional<uint64_t> rows_in_statistics(const std::string& statistics);

/// The text of a partition value as JSON (null or string) into the map form.
std::map<std::string, std::optional<std::string>> partition_values_of(const nlohmann::json& object);

}  // namespace ziwa::lake
