#include "base/json_depth.h"
#include "lake/actions_internal.h"
#include "lake/path_internal.h"

namespace ziwa::lake {
namespace {

using nlohmann::json;

/// Whole numbers are only read from whole numbers: 1e300 would not fit.
template <typename T>
T value_of(const json& value) {
  if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
    if (!value.is_number_integer()) throw std::runtime_error("a number is not whole");
    bool fits = value.is_number_unsigned() ? std::in_range<T>(value.get<uint64_t>())
                                           : std::in_range<T>(value.get<int64_t>());
    if (!fits) throw std::runtime_error("a number is out of range");
  }
  return value.get<T>();
}

/// Fields that are missing or null yield the default; a wrong type throws, parse_commit catches.
template <typename T>
T field(const json& object, const char* name, T otherwise = {}) {
  auto found = object.find(name);
  return found == object.end() || found->is_null() ? otherwise : value_of<T>(*found);
}

template <typename T>
std::optional<T> optional_field(const json& object, const char* name) {
  auto found = object.find(name);
  if (found == object.end() || found->is_null()) return std::nullopt;
  return value_of<T>(*found);
}

/// Source: PROTOCOL.md, "Deletion Vector Descriptor Schema": the unique id.
std::string deletion_vector_id(const json& action) {
  auto found = action.find("deletionVector");
  if (found == action.end() || found->is_null()) return {};
  auto offset = optional_field<int64_t>(*found, "offset");
  std::string id =
      field<std::string>(*found, "storageType") + field<std::string>(*found, "pathOrInlineDv");
  return offset ? fmt::format("{}@{}", id, *offset) : id;
}

AddAction parse_add(const json& object) {
  auto file = std::make_shared<DataFile>();
  file->path = decode_path(object.at("path").get<std::string>());
  if (auto values = object.find("partitionValues"); values != object.end()) {
    file->partition_values = partition_values_of(*values);
  }
  file->size = field<uint64_t>(object, "size");
  file->modified_ms = field<int64_t>(object, "modificationTime");
  file->stats = field<std::string>(object, "stats");
  file->rows = rows_in_statistics(file->stats);
  file->deletion_vector = deletion_vector_id(object);
  return {.file = std::move(file), .data_change = field<bool>(object, "dataChange", true)};
}

RemoveAction parse_remove(const json& object) {
  RemoveAction remove;
  remove.path = decode_path(object.at("path").get<std::string>());
  remove.deletion_vector = deletion_vector_id(object);
  remove.deleted_ms = field<int64_t>(object, "deletionTimestamp");
  remove.data_change = field<bool>(object, "dataChange", true);
  remove.size = optional_field<uint64_t>(object, "size");
  auto values = object.find("partitionValues");
  if (values != object.end() && !values->is_null()) {
    remove.partition_values = partition_values_of(*values);
  }
  return remove;
}

Protocol parse_protocol(const json& object) {
  return {.min_reader = field<int32_t>(object, "minReaderVersion"),
          .min_writer = field<int32_t>(object, "minWriterVersion"),
          .reader_features = field<std::vector<std::string>>(object, "readerFeatures"),
          .writer_features = field<std::vector<std::string>>(object, "writerFeatures")};
}

Metadata parse_metadata(const json& object) {
  Metadata metadata;
  metadata.id = field<std::string>(object, "id");
  metadata.name = field<std::string>(object, "name");
  metadata.description = field<std::string>(object, "description");
  if (auto format = object.find("format"); format != object.end() && format->is_object()) {
    metadata.provider = field<std::string>(*format, "provider", "parquet");
  }
  metadata.schema_string = field<std::string>(object, "schemaString");
  metadata.partition_columns = field<std::vector<std::string>>(object, "partitionColumns");
  metadata.configuration = field<std::map<std::string, std::string>>(object, "configuration");
  metadata.created_ms = optional_field<int64_t>(object, "createdTime");
  return metadata;
}

void parse_line(std::string_view line, Actions& actions) {
  if (json_nests_deeper(line)) {
    throw std::runtime_error(fmt::format("it nests deeper than {} levels", kJsonDepthMax));
  }
  json object = json::parse(line);
  if (auto add = object.find("add"); add != object.end()) {
    actions.adds.push_back(parse_add(*add));
  } else if (auto remove = object.find("remove"); remove != object.end()) {
    actions.removes.push_back(parse_remove(*remove));
  } else if (auto metadata = object.find("metaData"); metadata != object.end()) {
    actions.metadata = parse_metadata(*metadata);
  } else if (auto protocol = object.find("protocol"); protocol != object.end()) {
    actions.protocol = parse_protocol(*protocol);
  } else if (auto transaction = object.find("txn"); transaction != object.end()) {
    actions.transactions.push_back(
        {.app_id = transaction->at("appId").get<std::string>(),
         .version = value_of<int64_t>(transaction->at("version")),
         .updated_ms = optional_field<int64_t>(*transaction, "lastUpdated")});
  } else if (auto sidecar = object.find("sidecar"); sidecar != object.end()) {
    actions.sidecars.push_back(decode_path(sidecar->at("path").get<std::string>()));
  } else if (auto info = object.find("commitInfo"); info != object.end()) {
    actions.commit_info = std::move(*info);
  }
}

json partition_values_json(const std::map<std::string, std::optional<std::string>>& values) {
  json object = json::object();
  for (const auto& [name, value] : values) object[name] = value ? json(*value) : json(nullptr);
  return object;
}

}  // namespace

std::map<std::string, std::optional<std::string>> partition_values_of(const json& object) {
  std::map<std::string, std::optional<std::string>> values;
  for (const auto& [name, value] : object.items()) {
    values[name] = value.is_null() ? std::nullopt : std::optional(value.get<std::string>());
  }
  return values;
}

Result<Actions> parse_commit(ByteView content) {
  Actions actions;
  std::string_view text = as_text(content);
  size_t number = 0;
  while (!text.empty()) {
    size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    try {
      parse_line(line, actions);
    } catch (const std::exception& e) {
      return Error(Code::corrupt, "line {}: {}", number, e.what());
    }
  }
  return actions;
}

std::optional<uint64_t> rows_in_statistics(const std::string& statistics) {
  constexpr std::string_view kName = "\"numRecords\":";
  size_t at = statistics.find(kName);
  if (at == std::string::npos) return std::nullopt;
  at = statistics.find_first_not_of(' ', at + kName.size());
  if (at == std::string::npos || statistics[at] < '0' || statistics[at] > '9') return std::nullopt;
  return std::strtoull(statistics.c_str() + at, nullptr, 10);
}

json to_json(const Protocol& protocol) {
  json object = {{"minReaderVersion", protocol.min_reader},
                 {"minWriterVersion", protocol.min_writer}};
  if (protocol.min_reader >= 3) object["readerFeatures"] = protocol.reader_features;
  if (protocol.min_writer >= 7) object["writerFeatures"] = protocol.writer_features;
  return {{"protocol", std::move(object)}};
}

json to_json(const Metadata& metadata) {
  json object = {{"id", metadata.id},
                 {"format", {{"provider", metadata.provider}, {"options", json::object()}}},
                 {"schemaString", metadata.schema_string},
                 {"partitionColumns", metadata.partition_columns},
                 {"configuration", metadata.configuration}};
  if (!metadata.name.empty()) object["name"] = metadata.name;
  if (!metadata.description.empty()) object["description"] = metadata.description;
  if (metadata.created_ms) object["createdTime"] = *metadata.created_ms;
  return {{"metaData", std::move(object)}};
}

json to_json(const AddAction& add) {
  json object = {{"path", encode_path(add.file->path)},
                 {"partitionValues", partition_values_json(add.file->partition_values)},
                 {"size", add.file->size},
                 {"modificationTime", add.file->modified_ms},
                 {"dataChange", add.data_change}};
  if (!add.file->stats.empty()) object["stats"] = add.file->stats;
  return {{"add", std::move(object)}};
}

json to_json(const RemoveAction& remove) {
  json object = {{"path", encode_path(remove.path)},
                 {"deletionTimestamp", remove.deleted_ms},
                 {"dataChange", remove.data_change}};
  if (remove.partition_values) {
    object["extendedFileMetadata"] = true;
    object["partitionValues"] = partition_values_json(*remove.partition_values);
    object["size"] = remove.size.value_or(0);
  }
  return {{"remove", std::move(object)}};
}

json to_json(const TransactionAction& transaction) {
  json object = {{"appId", transaction.app_id}, {"version", transaction.version}};
  if (transaction.updated_ms) object["lastUpdated"] = *transaction.updated_ms;
  return {{"txn", std::move(object)}};
}

std::string data_file_to_json(const DataFile& file) {
  return to_json(AddAction{.file = std::make_shared<DataFile>(file)}).dump();
}

Result<DataFile> data_file_from_json(std::string_view text) {
  Actions actions = TRY(parse_commit(as_bytes(text)));
  if (actions.adds.size() != 1) return Error(Code::corrupt, "not one data file: {}", text);
  return DataFile(*actions.adds[0].file);
}

}  // namespace ziwa::lake
