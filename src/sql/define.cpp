#include "sql/define.h"

#include "base/settings.h"
#include "catalog/stored_columns.h"
#include "data/record_codec.h"
#include "duck/catalog_api.h"
#include "sql/entries.h"
#include "sql/options.h"
#include "sql/tokenizer.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <set>

namespace ziwa::sql {
namespace {

constexpr int64_t kPartitionsMax = 1'000;
constexpr size_t kColumnsMax = 2'000;
constexpr size_t kNameBytesMax = 255;

bool same(std::string_view a, std::string_view b) {
  return duckdb::StringUtil::CIEquals(std::string(a), std::string(b));
}

Result<duckdb::LogicalType> column_type(const ColumnDefinition& column) {
  auto type = duck::parse_type(column.type.text);
  if (!type) return std::move(type.error()).at(column.type.position);
  return type;
}

Result<data::Schema> define_columns(const std::vector<ColumnDefinition>& columns, bool topic) {
  data::Schema schema;
  if (columns.size() > kColumnsMax) {
    return Error(Code::exhausted, "{} columns, more than {}", columns.size(), kColumnsMax)
        .at(columns[0].position);
  }
  for (const ColumnDefinition& column : columns) {
    if (schema.find(column.name)) {
      return Error(Code::already_exists, "column \"{}\" is there twice", column.name)
          .at(column.position);
    }
    if (topic && data::Schema{topic_virtual_columns()}.find(column.name)) {
      return Error(Code::invalid_argument, "column name \"{}\" is taken: every topic has it",
                   column.name)
          .at(column.position);
    }
    schema.columns.push_back({.id = static_cast<uint32_t>(schema.columns.size() + 1),
                              .name = column.name,
                              .type = duck::type_name(TRY(column_type(column))),
                              .not_null = column.not_null});
  }
  return schema;
}

Result<const data::Column*> need_column(const data::Schema& schema, const std::string& name,
                                        size_t position) {
  auto found = schema.find(name);
  if (found) return &schema.columns[*found];
  std::vector<std::string> names;
  for (const data::Column& column : schema.columns) names.push_back(column.name);
  std::string nearest = nearest_name(name, names);
  return Error(Code::invalid_argument, "there is no column \"{}\"", name)
      .because(Cause::undefined_column)
      .with_hint(nearest.empty() ? "" : "did you mean " + nearest + "?")
      .at(position);
}

Result<catalog::Watermark> define_watermark(const data::Schema& schema,
                                            const WatermarkClause& clause) {
  const data::Column* column = TRY(need_column(schema, clause.column, clause.position));
  if (column->type != "TIMESTAMP") {
    return Error(Code::invalid_argument, "a watermark needs a TIMESTAMP column; \"{}\" is {}",
                 column->name, column->type)
        .because(Cause::datatype_mismatch)
        .at(clause.position);
  }
  if (clause.delay_us < 0)
    return Error(Code::invalid_argument, "the delay of a watermark cannot be negative")
        .at(clause.position);
  return catalog::Watermark{.column = column->name, .delay_us = clause.delay_us};
}

Result<catalog::Definition> define_topic(const BindContext&, const CreateTopic& create) {
  catalog::TopicDefinition topic;
  topic.schema = TRY(define_columns(create.columns, true));
  if (create.columns.empty()) topic.format = "raw";
  if (create.watermark) topic.watermark = TRY(define_watermark(topic.schema, *create.watermark));
  std::vector<OptionSpec> specs = {
      {"partitions",
       [&](const std::string& value) -> Status {
         topic.partitions = static_cast<int32_t>(TRY(option_integer(value, 1, kPartitionsMax)));
         return {};
       }},
      {"partition_by",
       [&](const std::string& value) -> Status {
         topic.partition_by = TRY(need_column(topic.schema, value, 0))->name;
         return {};
       }},
      {"format",
       [&](const std::string& value) -> Status {
         topic.format = duckdb::StringUtil::Lower(value);
         return {};
       }},
      {"retention",
       [&](const std::string& value) -> Status {
         bool for_ever = value == "forever" || value == "-1";
         topic.retention_ms = for_ever ? -1 : TRY(option_duration_ms(value, 1));
         return {};
       }},
      {"retention_bytes",
       [&](const std::string& value) -> Status {
         topic.retention_bytes = value == "-1" ? -1 : TRY(option_bytes(value, 1));
         return {};
       }},
      {"segment_bytes",
       [&](const std::string& value) -> Status {
         topic.segment_bytes = static_cast<uint64_t>(TRY(option_bytes(value, 1 << 20)));
         return {};
       }},
      {"idle_timeout",
       [&](const std::string& value) -> Status {
         if (!topic.watermark)
           return Error(Code::invalid_argument, "a topic without a WATERMARK has no idle timeout");
         topic.watermark->idle_timeout_ms = TRY(option_duration_ms(value, 1));
         return {};
       }},
  };
  TRY(apply_options(create.options, specs, "topic"));
  bool raw = topic.schema.columns.empty();
  if (raw != (topic.format == "raw")) {
    return Error(Code::invalid_argument, "format {} {} columns", topic.format,
                 raw ? "needs" : "takes no")
        .at(create.name.position);
  }
  if (!raw) TRY(data::make_record_codec(topic.schema, topic.format));
  return topic;
}

Result<std::vector<catalog::PartitionField>> define_partitioning(
    const data::Schema& schema, const std::vector<PartitionClause>& clauses) {
  std::vector<catalog::PartitionField> fields;
  for (const PartitionClause& clause : clauses) {
    const data::Column* column = TRY(need_column(schema, clause.column, clause.position));
    bool identity = clause.transform == "identity";
    if (!identity && !catalog::partition_format(clause.transform)) {
      return Error(Code::unsupported, "the transform {}() is not built", clause.transform)
          .with_hint("there are year, month, day and hour, and the column itself")
          .at(clause.position);
    }
    if (!identity && column->type != "TIMESTAMP" && column->type != "DATE") {
      return Error(Code::invalid_argument, "{}() needs a TIMESTAMP or DATE; \"{}\" is {}",
                   clause.transform, column->name, column->type)
          .because(Cause::datatype_mismatch)
          .at(clause.position);
    }
    catalog::PartitionField field{column->name, clause.transform,
                                  identity ? column->name : column->name + "_" + clause.transform};
    for (const auto& other : fields) {
      if (same(other.name, field.name))
        return Error(Code::already_exists, "partitioned twice by {}", field.name)
            .at(clause.position);
    }
    if (!identity && schema.find(field.name)) {
      return Error(Code::already_exists,
                   "the partition column would be named \"{}\", like a column of the table",
                   field.name)
          .at(clause.position);
    }
    fields.push_back(std::move(field));
  }
  if (!fields.empty() && fields.size() == schema.columns.size() &&
      std::all_of(fields.begin(), fields.end(),
                  [](const auto& field) { return field.transform == "identity"; })) {
    return Error(Code::invalid_argument, "a table needs a column that it is not partitioned by")
        .at(clauses[0].position);
  }
  return fields;
}

Status expect_value(const std::string& value, std::string_view only) {
  if (same(value, only)) return {};
  return Error(Code::unsupported, "\"{}\" is not built; {} is", value, only);
}

Result<catalog::Definition> define_table(const BindContext& context, const CreateTable& create) {
  catalog::TableDefinition table;
  if (create.query) {
    auto columns = context.query_columns ? *context.query_columns
                                         : TRY(describe_query(context, *create.query));
    table.schema = TRY(make_schema(columns));
  } else {
    table.schema = TRY(define_columns(create.columns, false));
  }
  table.partitioned_by = TRY(define_partitioning(table.schema, create.partitioned_by));
  std::vector<OptionSpec> specs = {
      {"format", [](const std::string& value) { return expect_value(value, "parquet"); }},
      {"compression", [](const std::string& value) { return expect_value(value, "zstd"); }},
      {"file",
       [&](const std::string& value) -> Status {
         table.loaded_from = value;
         return {};
       }},
  };
  TRY(apply_options(create.options, specs, "table"));
  return table;
}

Result<catalog::Definition> define_view(const BindContext& context, const CreateView& create,
                                        std::vector<ObjectId>& depends_on) {
  ViewOptions options{.on_window_close = create.on_window_close};
  const std::vector<OptionSpec> specs = {
      {"allowed_lateness",
       [&](const std::string& value) -> Status {
         options.allowed_lateness_us = TRY(option_duration_ms(value, 0)) * 1'000;
         return {};
       }},
      {"on_error", [&](const std::string& value) -> Status {
         options.stop_on_error = value == "stop";
         if (value == "stop" || value == "skip") return {};
         return Error(Code::invalid_argument, "on_error is 'skip' or 'stop', not '{}'", value);
       }}};
  TRY(apply_options(create.options, specs, "materialized view"));
  ViewPlan planned = TRY(plan_view(context, create.query, options));
  TRY(context.core->deps.engine.validate(planned.plan, *context.catalog));
  depends_on = planned.sources;
  return catalog::ViewDefinition{.schema = planned.schema,
                                 .query = create.query.text,
                                 .plan = stream::encode_plan(planned.plan)};
}

Status check_same_columns(const catalog::Object& from, const catalog::Object& into,
                          size_t position) {
  data::Schema have = visible_schema(from);
  const data::Schema& want = into.table().schema;
  for (const data::Column& column : want.columns) {
    auto found = have.find(column.name);
    if (!found) {
      if (!column.not_null) continue;
      return Error(Code::invalid_argument,
                   "\"{}\" has no column \"{}\", which is NOT NULL in \"{}\"", from.name,
                   column.name, into.name)
          .at(position);
    }
    if (column.not_null && !have.columns[*found].not_null) {
      return Error(Code::invalid_argument,
                   "column \"{}\" is NOT NULL in \"{}\" and may be NULL in \"{}\"", column.name,
                   into.name, from.name)
          .with_hint("one NULL would stop the sink: declare both alike")
          .at(position);
    }
    if (have.columns[*found].type == column.type) continue;
    return Error(Code::invalid_argument, "column \"{}\" is {} in \"{}\" and {} in \"{}\"",
                 column.name, have.columns[*found].type, from.name, column.type, into.name)
        .because(Cause::datatype_mismatch)
        .at(position);
  }
  for (const data::Column& column : have.columns) {
    if (want.find(column.name)) continue;
    return Error(Code::invalid_argument, "\"{}\" has no column \"{}\" to put that of \"{}\" into",
                 into.name, column.name, from.name)
        .at(position);
  }
  return {};
}

Status check_sink(const BindContext& context, const catalog::Object& sink, size_t position) {
  Status possible = context.core->deps.engine.validate_sink(sink, *context.catalog);
  if (possible) return {};
  return std::move(possible).error().at(position);
}

Result<catalog::Definition> define_sink(const BindContext& context, const CreateSink& create,
                                        std::vector<ObjectId>& depends_on) {
  catalog::ObjectPtr into = TRY(find_object(*context.catalog, create.into, context.path));
  catalog::ObjectPtr from = TRY(find_object(*context.catalog, create.from, context.path));
  if (into->kind() != catalog::Kind::table) {
    return Error(Code::unsupported, "a sink writes into a table; \"{}\" is a {}", into->name,
                 catalog::kind_name(into->kind()))
        .at(create.into.position);
  }
  if (from->kind() != catalog::Kind::topic && from->kind() != catalog::Kind::view) {
    return Error(Code::unsupported, "a sink reads a topic or a view; \"{}\" is a {}", from->name,
                 catalog::kind_name(from->kind()))
        .at(create.from.position);
  }
  TRY(check_same_columns(*from, *into, create.from.position));
  catalog::SinkDefinition sink{.from = from->id, .into = into->id};
  std::vector<OptionSpec> specs = {
      {"commit_interval",
       [&](const std::string& value) -> Status {
         sink.commit_interval_ms = TRY(option_duration_ms(value, 10));
         return {};
       }},
      {"file_bytes",
       [&](const std::string& value) -> Status {
         sink.file_bytes = static_cast<uint64_t>(TRY(option_bytes(value, 1 << 16)));
         return {};
       }},
  };
  TRY(apply_options(create.options, specs, "sink"));
  depends_on = {from->id, into->id};
  return sink;
}

}  // namespace

const QualifiedName& name_of(const CreateStatement& create) {
  return std::visit([](const auto& statement) -> const QualifiedName& { return statement.name; },
                    create);
}

bool if_not_exists(const CreateStatement& create) {
  return std::visit([](const auto& statement) { return statement.if_not_exists; }, create);
}

catalog::Kind kind_of(const CreateStatement& create) {
  return static_cast<catalog::Kind>(create.index());
}

Result<ObjectName> resolve_name(const QualifiedName& name, const std::string& current_schema) {
  ObjectName resolved{name.schema.empty() ? current_schema : name.schema, name.name};
  if (is_system_schema(resolved.schema)) {
    return Error(Code::permission, "schema \"{}\" belongs to the system", resolved.schema)
        .with_hint("the default schema is public")
        .at(name.position);
  }
  if (resolved.name.size() > kNameBytesMax || resolved.schema.size() > kNameBytesMax) {
    return Error(Code::exhausted, "a name has at most {} bytes", kNameBytesMax).at(name.position);
  }
  return resolved;
}

Result<catalog::ObjectPtr> find_object(const catalog::Snapshot& snapshot, const QualifiedName& name,
                                       const std::vector<std::string>& path) {
  const auto schemas = name.schema.empty() ? path : std::vector<std::string>{name.schema};
  for (const std::string& schema : schemas) {
    if (catalog::ObjectPtr object = snapshot.find(schema, name.name)) return object;
  }
  std::vector<std::string> names;
  for (const catalog::ObjectPtr& object : snapshot.all()) names.push_back(object->name);
  std::string nearest = nearest_name(name.name, names);
  return Error(Code::not_found, "there is no \"{}\" in schema {}", name.name,
               fmt::join(schemas, " or "))
      .with_hint(nearest.empty() ? "" : "did you mean " + nearest + "?")
      .at(name.position);
}

Result<catalog::Object> define(const BindContext& context, const CreateStatement& create,
                               std::string_view sql) {
  ObjectName name = TRY(resolve_name(name_of(create), context.schema()));
  if (Status free = check_schema_name(*context.core, name.schema); !free)
    return std::move(free).error().at(name_of(create).position);
  catalog::Object object;
  object.schema = name.schema;
  object.name = name.name;
  object.sql = normalised(sql);
  switch (kind_of(create)) {
    case catalog::Kind::topic:
      object.definition = TRY(define_topic(context, std::get<CreateTopic>(create)));
      break;
    case catalog::Kind::table:
      object.definition = TRY(define_table(context, std::get<CreateTable>(create)));
      break;
    case catalog::Kind::view:
      object.definition =
          TRY(define_view(context, std::get<CreateView>(create), object.depends_on));
      break;
    case catalog::Kind::sink:
      object.definition =
          TRY(define_sink(context, std::get<CreateSink>(create), object.depends_on));
      TRY(check_sink(context, object, std::get<CreateSink>(create).from.position));
      break;
  }
  return object;
}

std::string normalised(std::string_view sql) {
  auto tokens = tokenize(sql);
  if (!tokens) return std::string(sql);
  std::string out;
  size_t end = 0;
  for (const Token& token : *tokens) {
    if (!out.empty() && token.position > end && token.kind != TokenKind::end) out += ' ';
    out += token.text;
    end = token.end();
  }
  return out;
}

}  // namespace ziwa::sql
