#include "sql/ddl.h"

#include "base/log.h"
#include "catalog/stored_columns.h"
#include "lake/object_store.h"
#include "sql/row_writer.h"

namespace ziwa::sql {
namespace {

Status fill_table(Core& core, const catalog::ObjectPtr& object, std::shared_ptr<lake::Table> table,
                  const RowSource& rows) {
  auto writer = TRY(make_table_writer(core, object, std::move(table), TableWrite::create));
  while (duckdb::DataChunk* chunk = TRY(rows())) TRY(writer->write(*chunk));
  TRY(writer->finish());
  return {};
}

Result<std::shared_ptr<lake::Table>> create_table_files(Core& core,
                                                        const catalog::ObjectPtr& object,
                                                        const RowSource& rows) {
  const auto& definition = object->table();
  auto table = TRY(
      lake::Table::create(lake::make_local_store(core.deps.fs, core.directory_of(*object)),
                          core.deps.duck, core.deps.clock,
                          {.schema = catalog::stored_schema(definition),
                           .partition_columns = catalog::stored_partition_columns(definition)}));
  if (rows) TRY(fill_table(core, object, table, rows));
  return table;
}

std::string names_of(const std::vector<catalog::ObjectPtr>& objects) {
  std::string names;
  for (const auto& object : objects) {
    names += fmt::format("{}{} {}", names.empty() ? "" : ", ", catalog::kind_name(object->kind()),
                         object->name);
  }
  return names;
}

Status drop_in(catalog::Transaction& transaction, const BindContext& context, const Drop& drop) {
  catalog::SnapshotPtr snapshot = transaction.snapshot();
  catalog::ObjectPtr object = TRY(find_object(*snapshot, drop.name, context.path));
  if (object->kind() != drop.kind) {
    return Error(Code::not_found, "\"{}\" is a {}, not a {}", object->name,
                 catalog::kind_name(object->kind()), catalog::kind_name(drop.kind))
        .at(drop.name.position);
  }
  auto dependants = snapshot->dependants(object->id);
  if (!dependants.empty() && !drop.cascade) {
    return Error(Code::conflict, "{} \"{}\" is used by {}", catalog::kind_name(object->kind()),
                 object->name, names_of(dependants))
        .with_hint("DROP ... CASCADE drops them too")
        .at(drop.name.position);
  }
  return transaction.drop(object->id, drop.cascade);
}

}  // namespace

Result<std::shared_ptr<lake::Table>> make_table(Core& core, const catalog::ObjectPtr& object,
                                                const RowSource& rows) {
  auto table = create_table_files(core, object, rows);
  if (!table) discard_table(core, *object);
  return table;
}

void discard_table(Core& core, const catalog::Object& object) {
  if (object.kind() != catalog::Kind::table) return;
  const std::string directory = core.directory_of(object);
  Status removed = core.deps.fs.remove_all(directory);
  if (!removed)
    log_warn("sql", "files of a table that was not created stay", "path={} error={}", directory,
             removed.error().to_string());
}

Result<EntryNumber> run_create(const BindContext& context, const CreateStatement& create,
                               std::string_view sql, const RowSource& rows) {
  Core& core = *context.core;
  TRY(core.deps.engine.room_to_change());
  ObjectName name = TRY(resolve_name(name_of(create), context.schema()));
  auto claim = core.schema_names.claim(name.schema, SchemaNames::Use::schema);
  if (!claim) return std::move(claim.error()).at(name_of(create).position);
  catalog::ObjectPtr created;
  auto body = [&](catalog::Transaction& transaction) -> Status {
    catalog::SnapshotPtr snapshot = transaction.snapshot();
    if (catalog::ObjectPtr there = snapshot->find(name.schema, name.name)) {
      bool wanted = if_not_exists(create) && there->kind() == kind_of(create);
      if (wanted) return Error(Code::already_exists, "");
      return Error(Code::already_exists, "there is a {} named \"{}\"",
                   catalog::kind_name(there->kind()), there->name)
          .at(name_of(create).position);
    }
    const auto* table = std::get_if<CreateTable>(&create);
    if (table && table->query && !rows) {
      return Error(Code::conflict, "\"{}\" was dropped while the statement began", name.name)
          .with_hint("run it again");
    }
    BindContext inside{.core = context.core,
                       .catalog = snapshot,
                       .path = context.path,
                       .query_columns = context.query_columns};
    created = TRY(transaction.create(TRY(define(inside, create, sql))));
    if (created->kind() == catalog::Kind::table) TRY(make_table(core, created, rows));
    return {};
  };
  auto committed = core.deps.catalog.commit([&](catalog::Transaction& transaction) {
    return duck::guarded_result([&] { return body(transaction); });
  });
  if (!committed) {
    // When the outcome is unknown the table may exist.
    if (created && committed.error().code() != Code::maybe_applied) discard_table(core, *created);
    bool already_there =
        committed.error().code() == Code::already_exists && committed.error().message().empty();
    if (!already_there) return committed.error();
  }
  return core.deps.journal.durable();
}

Result<EntryNumber> run_drop(const BindContext& context, const Drop& drop) {
  Core& core = *context.core;
  auto committed = core.deps.catalog.commit(
      [&](catalog::Transaction& transaction) { return drop_in(transaction, context, drop); });
  if (!committed) {
    if (!(drop.if_exists && committed.error().code() == Code::not_found)) return committed.error();
  }
  return core.deps.journal.durable();
}

Result<std::vector<DeletedRecords>> run_delete_records(const BindContext& context,
                                                       const DeleteRecords& records) {
  Core& core = *context.core;
  catalog::ObjectPtr topic = TRY(find_object(*context.catalog, records.topic, context.path));
  if (topic->kind() != catalog::Kind::topic) {
    return Error(Code::unsupported, "\"{}\" is a {}; records are deleted from topics", topic->name,
                 catalog::kind_name(topic->kind()))
        .at(records.topic.position);
  }
  if (records.partition &&
      (*records.partition < 0 || *records.partition >= topic->topic().partitions)) {
    return Error(Code::not_found, "topic \"{}\" has partitions 0 to {}", topic->name,
                 topic->topic().partitions - 1);
  }
  std::vector<std::pair<PartitionId, Offset>> ends;
  for (int32_t partition = 0; partition < topic->topic().partitions; ++partition) {
    if (records.partition && *records.partition != partition) continue;
    PartitionId id{topic->id, partition};
    Offset end = TRY(core.deps.log.info(id)).high_watermark;
    ends.emplace_back(id, records.before < 0 ? end : std::min(Offset(records.before), end));
  }
  // Views keep their rows, but what they have still to read must be in a checkpoint first.
  TRY(core.deps.engine.wait(core.deps.journal.durable(), core.read_timeout_ms()));
  TRY(core.deps.engine.checkpoint());
  std::vector<DeletedRecords> deleted;
  for (const auto& [id, before] : ends) {
    Offset old_start = TRY(core.deps.log.info(id)).log_start;
    Offset start = TRY(core.deps.log.delete_records(id, before));
    deleted.push_back({id.partition, start, std::max<int64_t>(0, start.value - old_start.value)});
  }
  return deleted;
}

}  // namespace ziwa::sql
