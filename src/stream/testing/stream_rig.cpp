#include "stream/testing/stream_rig.h"

#include "catalog/stored_columns.h"
#include "lake/testing/rows.h"

#include <gtest/gtest.h>

#include <future>

namespace ziwa::stream::testing {
namespace {

data::Schema schema_of(const PlanBuilder::Columns& columns) {
  data::Schema schema;
  uint32_t id = 0;
  for (const auto& [name, type] : columns) schema.columns.push_back({++id, name, type});
  return schema;
}

}  // namespace

StreamRig::StreamRig(uint64_t seed)
    : clock_(TimestampMs(1'000'000'000'000)),
      used_clock_(clock_),
      root_("data"),
      fs_(std::make_unique<SimFileSystem>(seed)),
      files_(*fs_) {}

StreamRig::StreamRig(FileSystem& files, std::string root)
    : used_clock_(system_clock_), root_(std::move(root)), files_(files) {}

StreamRig::~StreamRig() { kill(); }

Result<std::shared_ptr<lake::Table>> StreamRig::open_table(const catalog::Object& object) {
  std::lock_guard lock(lake_mutex_);
  auto& table = lake_tables_[object.id];
  if (table == nullptr) {
    std::shared_ptr<lake::ObjectStore> store =
        lake::make_local_store(files_, object.table().location);
    auto created =
        lake::Table::create(store, *duck_, used_clock_,
                            {.schema = catalog::stored_schema(object.table()),
                             .partition_columns = catalog::stored_partition_columns(object.table()),
                             .properties = {}});
    if (!created && created.error().code() != Code::already_exists)
      return std::move(created).error();
    table = created ? *created : TRY(lake::Table::open(store, *duck_, used_clock_));
  }
  return table;
}

Status StreamRig::try_open(bool threads) {
  duck_ = TRY(duck::Instance::open(files_, {}));
  log_ = TRY(log::Log::open(files_, path("log"), used_clock_, metrics_, {}));
  journal_ =
      TRY(journal::Journal::open(files_, path("journal"), used_clock_, metrics_, journal_options,
                                 [this](const auto& end) { return log_->has_data(end); }));
  TRY(log_->start(*journal_));
  meta_ = TRY(state::Store::open(files_, path("meta"), {.tables = {"catalog"}}));
  state_ = TRY(state::Store::open(
      files_, path("state"),
      {.tables = {"views", "state", "positions", "late", "errors", "dead_letters"}}));
  faulty_state_ = make_faulty_store(*state_, store_fault);
  catalog_ = TRY(catalog::Catalog::open(*meta_, used_clock_));
  catalog_->set_journal([this](uint64_t version) {
    return journal_->submit_and_wait(journal::CatalogChange{version}, {});
  });
  catalog_->watch(
      {.prepare = [this](const std::vector<catalog::Change>& changes) -> Status {
         for (const auto& change : changes) {
           if (change.before != nullptr || change.after == nullptr) continue;
           if (change.after->kind() != catalog::Kind::topic) continue;
           log::TopicConfig config{.partitions = change.after->topic().partitions};
           TRY(log_->create_topic(change.after->id, config));
         }
         return {};
       },
       .abort = {},
       .apply = [this](const auto& changes, EntryNumber entry) { return apply(changes, entry); }});
  if (threads) {
    engine_ = TRY(Engine::open(dependencies(), options));
    return engine_->start();
  }
  core_ = TRY(Core::open(dependencies(), options, patient));
  TRY(core_->announce_tables());
  return journal_->sync();  // What was announced is an entry now.
}

Engine::Dependencies StreamRig::dependencies() {
  return {.fs = files_,
          .clock = used_clock_,
          .metrics = metrics_,
          .duck = *duck_,
          .store = *faulty_state_,
          .journal = *journal_,
          .log = *log_,
          .catalog = *catalog_,
          .table = [this](const catalog::Object& object) -> Result<std::shared_ptr<lake::Table>> {
            if (fault != nullptr) TRY(fault("open"));
            return make_faulty_table(TRY(open_table(object)), fault);
          }};
}

Status StreamRig::try_reopen_core() {
  core_ = TRY(Core::open(dependencies(), options, patient));
  return {};
}

void StreamRig::reopen_core() {
  auto done = try_reopen_core();
  ASSERT_TRUE(done.has_value()) << done.error().to_string();
}

std::string StreamRig::error_of(ObjectId id) {
  for (const auto& status : core_->view_status()) {
    if (status.id == id) return status.error;
  }
  for (const auto& status : core_->sink_status()) {
    if (status.id == id) return status.error;
  }
  return "unknown";
}

std::string StreamRig::state_of(ObjectId id) {
  for (const auto& status : core_->view_status()) {
    if (status.id == id) return status.state;
  }
  for (const auto& status : core_->sink_status()) {
    if (status.id == id) return status.state;
  }
  return "unknown";
}

void StreamRig::open(bool threads) {
  auto opened = try_open(threads);
  ASSERT_TRUE(opened.has_value()) << opened.error().to_string();
}

void StreamRig::kill() {
  engine_.reset();
  core_.reset();
  catalog_.reset();
  lake_tables_.clear();
  faulty_state_.reset();
  state_.reset();
  meta_.reset();
  log_.reset();
  journal_.reset();
  duck_.reset();
}

void StreamRig::crash() {
  kill();
  fs_->die_after(0);
  fs_->cut_power();
}

Status StreamRig::apply(const std::vector<catalog::Change>& changes, EntryNumber entry) {
  if (engine_ != nullptr) return engine_->on_catalog_change(changes, entry);
  if (before_change) before_change();
  TRY(core_->change(changes));
  return {};
}

Result<ObjectId> StreamRig::create(catalog::Object object) {
  ObjectId id;
  TRY(catalog_->commit([&](catalog::Transaction& transaction) -> Status {
    if (object.kind() == catalog::Kind::table) {
      std::get<catalog::TableDefinition>(object.definition).location = path("lake/" + object.name);
    }
    id = TRY(transaction.create(object))->id;
    return {};
  }));
  return id;
}

ObjectId StreamRig::create_topic(const TopicSpec& spec) {
  catalog::TopicDefinition definition{.schema = schema_of(spec.columns),
                                      .partitions = spec.partitions};
  if (!spec.watermark.empty()) {
    definition.watermark = catalog::Watermark{.column = spec.watermark,
                                              .delay_us = spec.delay_us,
                                              .idle_timeout_ms = spec.idle_timeout_ms};
  }
  auto made = create({.name = spec.name, .definition = definition});
  EXPECT_TRUE(made.has_value()) << made.error().to_string();
  return made.value_or(ObjectId());
}

ObjectId StreamRig::create_table(const std::string& name, const PlanBuilder::Columns& columns,
                                 std::vector<catalog::PartitionField> partitioned_by) {
  auto made =
      create({.name = name,
              .definition = catalog::TableDefinition{.schema = schema_of(columns),
                                                     .partitioned_by = std::move(partitioned_by)}});
  EXPECT_TRUE(made.has_value()) << made.error().to_string();
  return made.value_or(ObjectId());
}

Result<ObjectId> StreamRig::try_create_view(const std::string& name, const Plan& plan) {
  catalog::ViewDefinition definition{.plan = encode_plan(plan)};
  for (const auto& column : plan.root().output) {
    definition.schema.columns.push_back({column.id, column.name, column.type});
  }
  catalog::Object object{.name = name, .definition = definition};
  for (const auto& node : plan.nodes) {
    if (const auto* source = std::get_if<SourceNode>(&node.op))
      object.depends_on.push_back(source->object);
  }
  return create(std::move(object));
}

ObjectId StreamRig::create_view(const std::string& name, const Plan& plan) {
  auto made = try_create_view(name, plan);
  EXPECT_TRUE(made.has_value()) << made.error().to_string();
  return made.value_or(ObjectId());
}

ObjectId StreamRig::create_sink(const std::string& name, ObjectId from, ObjectId into,
                                uint64_t file_bytes) {
  auto made = create(
      {.name = name,
       .depends_on = {from, into},
       .definition = catalog::SinkDefinition{
           .from = from, .into = into, .commit_interval_ms = 1000, .file_bytes = file_bytes}});
  EXPECT_TRUE(made.has_value()) << made.error().to_string();
  return made.value_or(ObjectId());
}

Status StreamRig::drop(ObjectId id, bool cascade) {
  TRY(catalog_->commit(
      [&](catalog::Transaction& transaction) { return transaction.drop(id, cascade); }));
  return {};
}

Result<EntryNumber> StreamRig::try_produce(ObjectId topic, int32_t partition,
                                           const std::vector<std::string>& values) {
  std::vector<log::NewRecord> records;
  for (const auto& value : values)
    records.push_back({used_clock_.now(), std::nullopt, as_bytes(value)});
  std::promise<Result<EntryNumber>> promise;
  auto future = promise.get_future();
  log_->append({topic, partition}, log::encode_batch(records),
               [&](Result<log::Appended> appended, log::AppendRefusal) {
                 promise.set_value(appended ? Result<EntryNumber>(appended->entry)
                                            : Result<EntryNumber>(std::move(appended).error()));
               });
  return future.get();
}

EntryNumber StreamRig::produce(ObjectId topic, int32_t partition,
                               const std::vector<std::string>& values) {
  auto produced = try_produce(topic, partition, values);
  EXPECT_TRUE(produced.has_value()) << produced.error().to_string();
  return produced.value_or(EntryNumber());
}

EntryNumber StreamRig::insert(ObjectId id, const std::string& sql) {
  auto table = *open_table(*catalog_->snapshot()->find(id));
  auto files = lake::write_query(*table, *duck_, sql);
  EXPECT_TRUE(files.has_value()) << files.error().to_string();
  auto committed = table->commit({.add = *files});
  EXPECT_TRUE(committed.has_value()) << committed.error().to_string();
  return *journal_->submit_and_wait(journal::DeltaVersion{id, (*committed)->version()}, {});
}

EntryNumber StreamRig::delete_all(ObjectId id) {
  auto table = *open_table(*catalog_->snapshot()->find(id));
  lake::Commit commit{.operation = "DELETE"};
  for (const auto& file : table->snapshot()->files()) commit.remove.push_back(*file);
  auto committed = table->commit(commit);
  EXPECT_TRUE(committed.has_value()) << committed.error().to_string();
  return *journal_->submit_and_wait(journal::DeltaVersion{id, (*committed)->version()}, {});
}

Status StreamRig::try_settle(size_t rows_max) {
  for (bool progress = true; progress;) {
    progress = TRY(core_->step(rows_max));
    progress = TRY(core_->advance_backfills()) || progress;
  }
  return {};
}

void StreamRig::settle(size_t rows_max) {
  auto done = try_settle(rows_max);
  ASSERT_TRUE(done.has_value()) << done.error().to_string();
}

Status StreamRig::try_checkpoint() {
  auto checkpoint = TRY(core_->begin_checkpoint());
  core_->write_checkpoint(*checkpoint);
  return core_->end_checkpoint(*checkpoint);
}

void StreamRig::checkpoint() {
  auto done = try_checkpoint();
  ASSERT_TRUE(done.has_value()) << done.error().to_string();
}

PublishedPtr StreamRig::published() {
  return engine_ != nullptr ? engine_->published() : core_->published();
}

Bag StreamRig::scan(data::Scan& scan, const std::vector<size_t>& columns,
                    std::vector<data::ScanRequest::Bound> bounds) {
  data::ScanRequest request{.columns = columns, .bounds = std::move(bounds)};
  if (columns.empty()) {
    for (size_t i = 0; i < scan.schema().columns.size(); ++i) request.columns.push_back(i);
  }
  duckdb::vector<duckdb::LogicalType> types;
  for (size_t i : request.columns)
    types.push_back(*duck::parse_type(scan.schema().columns[i].type));
  duckdb::DataChunk chunk;
  chunk.Initialize(duckdb::Allocator::DefaultAllocator(), types);
  Bag bag;
  auto streams = scan.open(request, 2);
  EXPECT_TRUE(streams.has_value()) << streams.error().to_string();
  if (!streams) return bag;
  for (auto& stream : *streams) {
    while (true) {
      chunk.Reset();
      auto next = stream->next(chunk);
      EXPECT_TRUE(next.has_value()) << next.error().to_string();
      if (!next || chunk.size() == 0) break;
      for (size_t row = 0; row < chunk.size(); ++row) ++bag[row_text(chunk, row)];
    }
  }
  return bag;
}

int StreamRig::idle_marks() {
  int count = 0;
  auto cursor = state_->cursor(state_->table("positions"));
  for (cursor->seek("idle/"); cursor->valid() && cursor->key().starts_with("idle/"); cursor->next())
    ++count;
  return count;
}

Bag StreamRig::view(ObjectId id) {
  auto now = published();
  auto at = now->views.find(id);
  EXPECT_NE(at, now->views.end()) << "view " << id.value << " is not published";
  return at == now->views.end() ? Bag() : scan(*at->second->scan());
}

Bag StreamRig::table(ObjectId id) {
  auto object = catalog_->snapshot()->find(id);
  auto table = open_table(*object);
  EXPECT_TRUE(table.has_value()) << table.error().to_string();
  auto snapshot = (*table)->refresh();
  EXPECT_TRUE(snapshot.has_value()) << snapshot.error().to_string();
  std::vector<size_t> columns;
  for (size_t i = 0; i < object->table().schema.columns.size(); ++i) columns.push_back(i);
  return scan(*(*snapshot)->scan(), columns);
}

}  // namespace ziwa::stream::testing
