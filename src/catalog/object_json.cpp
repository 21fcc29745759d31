#include "base/file.h"
#include "catalog/object_json_internal.h"
#include "catalog/stored_json.h"

namespace ziwa {
// Found by nlohmann's lookup, which goes by the namespace of the type.
static void to_json(nlohmann::json& json, const ObjectId& id) { json = id.value; }
static void from_json(const nlohmann::json& json, ObjectId& id) { json.get_to(id.value); }
}  // namespace ziwa

namespace ziwa::data {
static void to_json(nlohmann::json& json, const Column& column) {
  json = {{"id", column.id},
          {"name", column.name},
          {"type", column.type},
          {"not_null", column.not_null}};
}
static void from_json(const nlohmann::json& json, Column& column) {
  json.at("id").get_to(column.id);
  json.at("name").get_to(column.name);
  json.at("type").get_to(column.type);
  json.at("not_null").get_to(column.not_null);
}
static void to_json(nlohmann::json& json, const Schema& schema) { json = schema.columns; }
static void from_json(const nlohmann::json& json, Schema& schema) { json.get_to(schema.columns); }
}  // namespace ziwa::data

namespace ziwa::catalog {

static void to_json(nlohmann::json& json, const Watermark& watermark) {
  json = {{"column", watermark.column},
          {"delay_us", watermark.delay_us},
          {"idle_timeout_ms", watermark.idle_timeout_ms}};
}
static void from_json(const nlohmann::json& json, Watermark& watermark) {
  json.at("column").get_to(watermark.column);
  json.at("delay_us").get_to(watermark.delay_us);
  json.at("idle_timeout_ms").get_to(watermark.idle_timeout_ms);
}

static void to_json(nlohmann::json& json, const TopicDefinition& topic) {
  json = {{"schema", topic.schema},
          {"format", topic.format},
          {"partitions", topic.partitions},
          {"partition_by", topic.partition_by},
          {"retention_ms", topic.retention_ms},
          {"retention_bytes", topic.retention_bytes},
          {"segment_bytes", topic.segment_bytes}};
  if (topic.watermark) json["watermark"] = *topic.watermark;
}
static void from_json(const nlohmann::json& json, TopicDefinition& topic) {
  json.at("schema").get_to(topic.schema);
  json.at("format").get_to(topic.format);
  json.at("partitions").get_to(topic.partitions);
  json.at("partition_by").get_to(topic.partition_by);
  json.at("retention_ms").get_to(topic.retention_ms);
  json.at("retention_bytes").get_to(topic.retention_bytes);
  json.at("segment_bytes").get_to(topic.segment_bytes);
  if (json.contains("watermark")) topic.watermark = json["watermark"].get<Watermark>();
}

static void to_json(nlohmann::json& json, const PartitionField& field) {
  json = {{"column", field.column}, {"transform", field.transform}, {"name", field.name}};
}
static void from_json(const nlohmann::json& json, PartitionField& field) {
  json.at("column").get_to(field.column);
  json.at("transform").get_to(field.transform);
  json.at("name").get_to(field.name);
}

static void to_json(nlohmann::json& json, const TableDefinition& table) {
  json = {{"schema", table.schema},
          {"partitioned_by", table.partitioned_by},
          {"location", table.location},
          {"loaded_from_hash", table.loaded_from_hash},
          {"loaded_from", table.loaded_from}};
  if (table.loads > 0) json["loads"] = table.loads;
  if (!table.loaded_files.empty()) json["loaded_files"] = table.loaded_files;
  if (table.pending_load) {
    json["pending_load"] = {{"replaces", table.pending_load->replaces},
                            {"files", table.pending_load->files}};
  }
}
static void from_json(const nlohmann::json& json, TableDefinition& table) {
  json.at("schema").get_to(table.schema);
  json.at("partitioned_by").get_to(table.partitioned_by);
  json.at("location").get_to(table.location);
  json.at("loaded_from_hash").get_to(table.loaded_from_hash);
  json.at("loaded_from").get_to(table.loaded_from);
  if (json.contains("loads")) json["loads"].get_to(table.loads);
  if (json.contains("loaded_files")) json["loaded_files"].get_to(table.loaded_files);
  if (json.contains("pending_load")) {
    const auto& pending = json["pending_load"];
    table.pending_load = PendingLoad{.replaces = pending.at("replaces").get<int64_t>(),
                                     .files = pending.at("files").get<std::vector<std::string>>()};
  }
}

static void to_json(nlohmann::json& json, const ViewDefinition& view) {
  json = {{"schema", view.schema}, {"query", view.query}, {"plan", view.plan}};
}
static void from_json(const nlohmann::json& json, ViewDefinition& view) {
  json.at("schema").get_to(view.schema);
  json.at("query").get_to(view.query);
  json.at("plan").get_to(view.plan);
}

static void to_json(nlohmann::json& json, const SinkDefinition& sink) {
  json = {{"from", sink.from},
          {"into", sink.into},
          {"commit_interval_ms", sink.commit_interval_ms},
          {"file_bytes", sink.file_bytes}};
}
static void from_json(const nlohmann::json& json, SinkDefinition& sink) {
  json.at("from").get_to(sink.from);
  json.at("into").get_to(sink.into);
  json.at("commit_interval_ms").get_to(sink.commit_interval_ms);
  json.at("file_bytes").get_to(sink.file_bytes);
}

namespace {

constexpr int kFormat = 1;

Result<Kind> parse_kind(std::string_view name) {
  for (Kind kind : {Kind::topic, Kind::table, Kind::view, Kind::sink}) {
    if (kind_name(kind) == name) return kind;
  }
  return Error(Code::corrupt, "unknown kind \"{}\"", name);
}

/// Catalogs of before wrote the absolute directory of a managed table, <data>/lake/<id>, as it was
/// when the table was made. Nobody could choose another, so a table whose location ends in its own
/// id is managed, wherever the data directory is now.
void forget_place_of_managed(Object& object) {
  auto* table = std::get_if<TableDefinition>(&object.definition);
  if (table == nullptr) return;
  if (table->location.ends_with(fmt::format("/lake/{}", object.id))) table->location.clear();
}

Definition decode_definition(Kind kind, const nlohmann::json& json) {
  switch (kind) {
    case Kind::topic:
      return json.get<TopicDefinition>();
    case Kind::table:
      return json.get<TableDefinition>();
    case Kind::view:
      return json.get<ViewDefinition>();
    case Kind::sink:
      return json.get<SinkDefinition>();
  }
  return {};
}

}  // namespace

std::string_view kind_name(Kind kind) {
  switch (kind) {
    case Kind::topic:
      return "topic";
    case Kind::table:
      return "table";
    case Kind::view:
      return "view";
    case Kind::sink:
      return "sink";
  }
  return "object";
}

std::string table_directory(const Object& table, std::string_view lake) {
  const std::string& location = table.table().location;
  return location.empty() ? join_path(lake, fmt::format("{}", table.id)) : location;
}

Result<std::string> encode_object(const Object& object) {
  try {
    nlohmann::json definition;
    std::visit([&](const auto& known) { definition = known; }, object.definition);
    nlohmann::json json = {{"format", kFormat},
                           {"id", object.id},
                           {"kind", kind_name(object.kind())},
                           {"schema", object.schema},
                           {"name", object.name},
                           {"version", object.version},
                           {"sql", object.sql},
                           {"project", object.project},
                           {"created_ms", object.created.value},
                           {"depends_on", object.depends_on},
                           {"definition", std::move(definition)}};
    return json.dump();
  } catch (const std::exception&) {
    return Error(Code::invalid_argument, "the definition of {} \"{}\" has text that is not UTF-8",
                 kind_name(object.kind()), object.name);
  }
}

Result<Object> decode_object(std::string_view text) {
  try {
    auto json = parse_stored_json<nlohmann::json>(text);
    if (int format = json.at("format").get<int>(); format != kFormat) {
      return Error(Code::unsupported, "catalog object of format {}; this program reads format {}",
                   format, kFormat)
          .with_hint("use the program that wrote it, or a newer one");
    }
    Object object;
    json.at("id").get_to(object.id);
    json.at("schema").get_to(object.schema);
    json.at("name").get_to(object.name);
    json.at("version").get_to(object.version);
    json.at("sql").get_to(object.sql);
    json.at("project").get_to(object.project);
    json.at("created_ms").get_to(object.created.value);
    json.at("depends_on").get_to(object.depends_on);
    Kind kind = TRY(parse_kind(json.at("kind").get<std::string>()));
    object.definition = decode_definition(kind, json.at("definition"));
    forget_place_of_managed(object);
    return object;
  } catch (const std::exception& problem) {
    return Error(Code::corrupt, "catalog object: {}", problem.what());
  }
}

}  // namespace ziwa::catalog
