#include "stream/core.h"

#include "base/log.h"
#include "base/metric_table.h"
#include "catalog/topic_name.h"

#include <functional>

namespace ziwa::stream {
namespace {

// Table "positions" (docs/formats/stream-state.md). Keys end with 8 bytes of id, big-endian.
constexpr std::string_view kMainKey = "main";
constexpr std::string_view kFeedPrefix = "feed/";
constexpr std::string_view kTablePrefix = "table/";
constexpr std::string_view kViewPrefix = "view/";
constexpr std::string_view kSinkPrefix = "sink/";
constexpr std::string_view kIdlePrefix = "idle/";
constexpr uint64_t kFormat = 1;

ObjectId id_at(std::string_view key, size_t position) {
  return ObjectId(load_be<uint64_t>(key.data() + position));
}

std::string key_of(std::string_view prefix, ObjectId id) {
  return std::string(prefix) + id_prefix(id);
}

/// All objects, each after those that it depends on.
std::vector<catalog::ObjectPtr> in_order(const catalog::Snapshot& catalog) {
  std::vector<catalog::ObjectPtr> ordered;
  std::set<ObjectId> placed;
  std::function<void(const catalog::ObjectPtr&)> place = [&](const catalog::ObjectPtr& object) {
    if (object == nullptr || !placed.insert(object->id).second) return;
    for (ObjectId dependency : object->depends_on) place(catalog.find(dependency));
    ordered.push_back(object);
  };
  for (const auto& object : catalog.all()) place(object);
  return ordered;
}

const data::Schema& dead_letter_schema() {
  static const data::Schema kSchema = {{{1, "topic", "UBIGINT"},
                                        {2, "partition", "INTEGER"},
                                        {3, "offset", "BIGINT"},
                                        {4, "entry", "BIGINT"},
                                        {5, "reason", "VARCHAR"},
                                        {6, "value", "BLOB"}}};
  return kSchema;
}

/// Dead letters with the names of their topics.
class DeadLetterScan final : public data::Scan {
 public:
  DeadLetterScan(std::shared_ptr<data::Scan> inner, catalog::SnapshotPtr catalog)
      : inner_(std::move(inner)), catalog_(std::move(catalog)) {
    schema_ = dead_letter_schema();
    schema_.columns[0].type = "VARCHAR";
  }
  const data::Schema& schema() const override { return schema_; }
  std::optional<uint64_t> row_count() const override { return inner_->row_count(); }
  Result<std::vector<std::unique_ptr<data::ScanStream>>> open(const data::ScanRequest& request,
                                                              size_t parts_max) override {
    data::ScanRequest own{.columns = request.columns, .bounds = {}};
    auto streams = TRY(inner_->open(own, parts_max));
    duckdb::vector<duckdb::LogicalType> types;
    for (size_t column : request.columns) {
      types.push_back(TRY(duck::parse_type(dead_letter_schema().columns[column].type)));
    }
    for (auto& stream : streams) {
      stream = std::make_unique<Stream>(std::move(stream), request.columns, types, catalog_);
    }
    return streams;
  }

 private:
  class Stream final : public data::ScanStream {
   public:
    Stream(std::unique_ptr<data::ScanStream> inner, std::vector<size_t> columns,
           const duckdb::vector<duckdb::LogicalType>& types, catalog::SnapshotPtr catalog)
        : inner_(std::move(inner)), columns_(std::move(columns)), catalog_(std::move(catalog)) {
      rows_.Initialize(duckdb::Allocator::DefaultAllocator(), types);
    }
    Status next(duckdb::DataChunk& out) override {
      TRY(inner_->next(rows_));
      reset_chunk(out);
      for (size_t i = 0; i < columns_.size(); ++i) {
        for (size_t row = 0; row < rows_.size(); ++row) {
          if (columns_[i] != 0) {
            copy_value(rows_.data[i], row, out.data[i], row);
            continue;
          }
          ObjectId id(duckdb::FlatVector::GetData<uint64_t>(rows_.data[i])[row]);
          auto object = catalog_->find(id);
          auto name = object == nullptr ? fmt::format("{}", id) : catalog::topic_name(*object);
          duckdb::FlatVector::GetData<duckdb::string_t>(out.data[i])[row] =
              duckdb::StringVector::AddString(out.data[i], name);
        }
      }
      out.SetCardinality(rows_.size());
      return {};
    }

   private:
    std::unique_ptr<data::ScanStream> inner_;
    std::vector<size_t> columns_;
    catalog::SnapshotPtr catalog_;
    duckdb::DataChunk rows_;
  };
  std::shared_ptr<data::Scan> inner_;
  catalog::SnapshotPtr catalog_;
  data::Schema schema_;
};

}  // namespace

Core::Core(Engine::Dependencies dependencies, Engine::Options options)
    : deps_(std::move(dependencies)),
      options_(options),
      tables_(deps_.store),
      rows_counter_(deps_.metrics.counter(metric::stream_records_total)),
      steps_counter_(deps_.metrics.counter(metric::stream_steps_total)),
      dead_counter_(deps_.metrics.counter(metric::stream_dead_letters_total)),
      step_seconds_(deps_.metrics.histogram(metric::stream_step_seconds)),
      checkpoint_seconds_(deps_.metrics.histogram(metric::stream_checkpoint_seconds)) {}

Result<std::unique_ptr<Core>> Core::open(Engine::Dependencies dependencies,
                                         Engine::Options options) {
  std::unique_ptr<Core> core(new Core(std::move(dependencies), options));
  TRY(core->load());
  return core;
}

Result<std::unique_ptr<Dataflow>> Core::compile(const Plan& plan,
                                                const catalog::Snapshot& catalog) const {
  StageContext context{
      .instance = deps_.duck, .errors = {}, .late = nullptr, .watermark = [](ObjectId) {
        return kNoWatermark;
      }};
  return Dataflow::compile(plan, context, [&](ObjectId id) { return source_object(id, catalog); });
}

/// Whether the rows of a view are only ever added.
Result<bool> Core::only_grows(const catalog::Object& view, const catalog::Snapshot& catalog) const {
  if (auto made = views_.find(view.id); made != views_.end()) return made->second->append_only();
  Plan plan = TRY(decode_plan(view.view().plan));
  return TRY(compile(plan, catalog))->append_only();
}

Result<SourceObject> Core::source_object(ObjectId id, const catalog::Snapshot& catalog) const {
  auto object = catalog.find(id);
  if (object == nullptr) return Error(Code::not_found, "a plan reads object {}, which is gone", id);
  switch (object->kind()) {
    case catalog::Kind::topic:
      return SourceObject{.schema = object->topic().schema, .topic = true, .append_only = true};
    case catalog::Kind::table:
      return SourceObject{.schema = object->table().schema};
    case catalog::Kind::view:
      return SourceObject{.schema = object->view().schema,
                          .append_only = TRY(only_grows(*object, catalog))};
    case catalog::Kind::sink:
      break;
  }
  return Error(Code::unsupported, "a view cannot read the {} \"{}\"",
               catalog::kind_name(object->kind()), object->name);
}

Status Core::validate(const Plan& plan, const catalog::Snapshot& catalog) const {
  TRY(compile(plan, catalog));
  data::Schema schema;
  for (const auto& column : plan.root().output)
    schema.columns.push_back({column.id, column.name, column.type});
  TRY(RowLayout::create(schema, plan.key));
  return {};
}

View::Dependencies Core::view_dependencies() {
  return {.instance = deps_.duck,
          .store = deps_.store,
          .tables = tables_,
          .resolve = [this, catalog = deps_.catalog.snapshot()](
                         ObjectId id) { return source_object(id, *catalog); },
          .topic_schema = [this](ObjectId id) -> const data::Schema* {
            auto object = deps_.catalog.snapshot()->find(id);
            return object == nullptr ? nullptr : &object->topic().schema;
          },
          .watermark = [](ObjectId) { return kNoWatermark; }};
}

/// Null when it cannot be made: then broken_views_ says why.
std::shared_ptr<View> Core::make_view(const catalog::ObjectPtr& object) {
  auto made = [&]() -> Result<std::shared_ptr<View>> {
    std::shared_ptr<View> view = TRY(View::create(object, view_dependencies()));
    auto catalog = deps_.catalog.snapshot();
    for (const auto* source : view->sources()) {
      auto read = catalog->find(source->object());
      if (read->kind() != catalog::Kind::view || views_.contains(read->id)) continue;
      return Error(Code::unavailable, "view \"{}\", which it reads, has failed", read->name);
    }
    return view;
  }();
  if (made) return *made;
  broken_views_[object->id] = made.error().to_string();
  log_error("stream", "a view cannot be made", "view={} error={}", object->name,
            made.error().to_string());
  return nullptr;
}

Result<std::shared_ptr<Sink>> Core::make_sink(const catalog::ObjectPtr& object,
                                              const catalog::Snapshot& catalog) const {
  auto into = catalog.find(object->sink().into);
  if (into == nullptr) {
    return Error(Code::not_found, "sink \"{}\" writes a table that is gone", object->name);
  }
  return plan_sink(object, catalog, TRY(deps_.table(*into)));
}

/// `table` may be null when the sink is only to be checked.
Result<std::shared_ptr<Sink>> Core::plan_sink(const catalog::ObjectPtr& object,
                                              const catalog::Snapshot& catalog,
                                              std::shared_ptr<lake::Table> table) const {
  auto from = catalog.find(object->sink().from);
  auto into = catalog.find(object->sink().into);
  if (from == nullptr || into == nullptr) {
    return Error(Code::not_found, "sink \"{}\" reads or writes what is gone", object->name);
  }
  bool topic = from->kind() == catalog::Kind::topic;
  if (!topic && from->kind() != catalog::Kind::view) {
    return Error(Code::unsupported, "sink \"{}\" can read a topic or a view, not a {}",
                 object->name, catalog::kind_name(from->kind()));
  }
  if (!topic && !TRY(only_grows(*from, catalog))) {
    return Error(Code::unsupported,
                 "view \"{}\" changes rows that it gave; a sink takes new rows only", from->name)
        .with_hint("read the view itself, or sink a view that only filters and computes columns");
  }
  auto sink =
      TRY(Sink::create(object, {.instance = deps_.duck,
                                .clock = deps_.clock,
                                .store = deps_.store,
                                .tables = tables_,
                                .source = topic ? from->topic().schema : from->view().schema,
                                .into = into,
                                .table = std::move(table)}));
  sink->of_view = !topic;
  return std::shared_ptr<Sink>(std::move(sink));
}

Status Core::validate_sink(const catalog::Object& sink, const catalog::Snapshot& catalog) const {
  TRY(plan_sink(std::make_shared<const catalog::Object>(sink), catalog, nullptr));
  return {};
}

Status Core::open_table(const catalog::ObjectPtr& object, std::optional<int64_t> version) {
  auto table = TRY(deps_.table(*object));
  auto snapshot = table->snapshot();
  if (version && *version != snapshot->version()) {
    auto older = table->at_version(*version);
    if (older) snapshot = *older;
    // A version that was cleaned up: views have read it already, readers get the newest.
  }
  lake_tables_[object->id] = {object, std::move(table), std::move(snapshot)};
  return {};
}

Status Core::load() {
  auto layout = TRY(RowLayout::create(dead_letter_schema(), {0, 1, 2}));
  dead_rows_.Initialize(duckdb::Allocator::DefaultAllocator(), layout->types);
  dead_letters_ =
      std::make_unique<RowTable>(std::move(layout), deps_.store, tables_.dead_letters, "");
  auto main = TRY(deps_.store.get(tables_.positions, kMainKey));
  if (main) {
    TRY(load_main(*main));
  } else {
    epoch_ = deps_.journal.durable();
    checkpoint_epoch_ = epoch_;
  }
  TRY(load_objects(main.has_value()));
  TRY(forget_dropped_topics());
  for (const auto& [topic, feed] : main_.feeds) {
    for (int32_t p = 0; p < feed->partitions(); ++p) {
      deps_.log.hold({topic, p}, "stream", TRY(needed_from(topic, p, feed->position(p))));
    }
  }
  deps_.journal.hold("stream", epoch_.next());
  publish();
  return {};
}

/// A topic may have been dropped after the last checkpoint.
Status Core::forget_dropped_topics() {
  std::set<ObjectId> topics;
  for (const auto& [id, until] : dead_until_) topics.insert(id.topic);
  auto catalog = deps_.catalog.snapshot();
  for (ObjectId topic : topics) {
    if (catalog->find(topic) == nullptr) TRY(forget_topic(topic));
  }
  return {};
}

// "main": varint format, varint epoch, varint dead letters, varint changed_at of dead letters,
// varint count, then per partition with dead letters: varint topic, varint partition, varint
// offset.
Status Core::load_main(std::string_view meta) {
  ByteReader in(as_bytes(meta));
  auto format = in.varint();
  if (in.ok() && format != kFormat) {
    return Error(Code::unsupported, "stream state has format {}; this program reads format {}",
                 format, kFormat);
  }
  epoch_ = Epoch(in.varint());
  checkpoint_epoch_ = epoch_;
  auto dead = in.varint();
  Epoch dead_changed(in.varint());
  auto partitions = in.varint();
  for (uint64_t i = 0; i < partitions && in.ok(); ++i) {
    PartitionId id{ObjectId(in.varint()), static_cast<int32_t>(in.varint())};
    dead_until_[id] = Offset(static_cast<int64_t>(in.varint()));
  }
  TRY(in.status("the main position"));
  snapshot_ = deps_.store.snapshot();
  dead_letters_->restore(snapshot_, dead, dead_changed);
  return load_idle_history();
}

std::string Core::idle_key(ObjectId topic, const IdleEvent& event) {
  char tail[12];
  store_be<uint64_t>(tail, event.entry.value);
  store_be<int32_t>(tail + 8, event.partition);
  return key_of(kIdlePrefix, topic) + std::string(tail, sizeof tail);
}

Status Core::load_idle_history() {
  auto cursor = deps_.store.cursor(tables_.positions, snapshot_.get());
  for (cursor->seek(kIdlePrefix); cursor->valid() && cursor->key().starts_with(kIdlePrefix);
       cursor->next()) {
    auto key = cursor->key();
    if (key.size() != kIdlePrefix.size() + 20) continue;
    ObjectId topic = id_at(key, kIdlePrefix.size());
    IdleEvent event{.entry = EntryNumber(id_at(key, kIdlePrefix.size() + 8).value),
                    .partition = load_be<int32_t>(key.data() + kIdlePrefix.size() + 16)};
    idle_history_[topic].push_back(event);
  }
  return cursor->status();
}

Status Core::load_feed(ObjectId topic, std::string_view meta) {
  auto object = deps_.catalog.snapshot()->find(topic);
  if (object == nullptr || object->kind() != catalog::Kind::topic) return {};
  auto feed = TRY(TopicFeed::create(*object, deps_.log, options_.watermark_max_ahead_ms));
  ByteReader in(as_bytes(meta));
  TRY(feed->load(in));
  feed->set_definition(*object);
  for (int32_t p = 0; p < feed->partitions(); ++p) {
    PartitionId id{topic, p};
    last_active_ns_[id] = deps_.clock.monotonic_ns();
    auto stable = deps_.log.stable_end_at(id, epoch_);
    auto end = deps_.log.end_at(id, epoch_);
    if (!stable || !end || *stable != *end) unstable_.insert(id);
  }
  main_.feeds[topic] = std::move(feed);
  return {};
}

Status Core::load_objects(bool restored) {
  auto catalog = deps_.catalog.snapshot();
  std::map<std::string, std::string> metas;
  auto cursor = deps_.store.cursor(tables_.positions);
  for (cursor->seek(""); cursor->valid(); cursor->next()) {
    metas.emplace(cursor->key(), cursor->value());
  }
  TRY(cursor->status());
  auto meta_of = [&](std::string_view prefix, ObjectId id) -> std::optional<std::string> {
    auto at = restored ? metas.find(key_of(prefix, id)) : metas.end();
    return at == metas.end() ? std::nullopt : std::optional(at->second);
  };
  std::vector<std::shared_ptr<View>> new_views;
  std::vector<std::shared_ptr<Sink>> lagging_sinks;
  state::WriteBatch erased;
  auto objects = in_order(*catalog);
  for (const auto& object : objects) {
    if (object->kind() == catalog::Kind::table) {
      std::optional<int64_t> version;
      if (auto meta = meta_of(kTablePrefix, object->id)) {
        ByteReader in(as_bytes(*meta));
        version = in.svarint();
      }
      TRY(open_table(object, version));
    } else if (object->kind() == catalog::Kind::topic) {
      if (auto meta = meta_of(kFeedPrefix, object->id)) TRY(load_feed(object->id, *meta));
    }
  }
  for (const auto& object : objects) {
    if (object->kind() != catalog::Kind::view) continue;
    auto view = make_view(object);
    if (view == nullptr) continue;
    views_[object->id] = view;
    if (auto meta = meta_of(kViewPrefix, object->id)) {
      TRY(view->load(snapshot_, *meta));
      view->state = View::State::running;
      view->epoch = epoch_;
      main_.add(view);
    } else {
      View::erase(object->id, tables_, erased);
      new_views.push_back(view);
    }
  }
  for (const auto& object : objects) {
    if (object->kind() != catalog::Kind::sink) continue;
    auto created = make_sink(object, *catalog);
    if (!created) {
      broken_sinks_[object->id] = created.error().to_string();
      log_error("stream", "a sink cannot be loaded", "sink={} error={}", object->name,
                created.error().to_string());
      continue;
    }
    auto sink = std::move(*created);
    sinks_[object->id] = sink;
    auto meta = meta_of(kSinkPrefix, object->id);
    if (meta) {
      TRY(sink->load_from(*snapshot_, *meta));
    } else {
      Sink::erase(object->id, tables_, erased);
    }
    if (sink->state == Sink::State::failed) continue;
    if (meta && sink->of_view && main_.view(sink->from()) != nullptr) {
      sink->state = Sink::State::running;
      main_.add(sink);
    } else {
      lagging_sinks.push_back(sink);
    }
  }
  for (const auto& [key, value] : metas) {  // The catalog is right: what it does not know goes.
    if (key.starts_with(kViewPrefix) && !views_.contains(id_at(key, kViewPrefix.size()))) {
      if (catalog->find(id_at(key, kViewPrefix.size())) == nullptr) {
        View::erase(id_at(key, kViewPrefix.size()), tables_, erased);
      }
    } else if (key.starts_with(kSinkPrefix) &&
               catalog->find(id_at(key, kSinkPrefix.size())) == nullptr) {
      Sink::erase(id_at(key, kSinkPrefix.size()), tables_, erased);
    }
  }
  if (erased.count() > 0) TRY(deps_.store.write(std::move(erased), false));
  main_.set_wants_blobs();
  sort_views();
  // Each on its own: one that cannot be read again must not hold up the others.
  for (auto& sink : lagging_sinks) TRY(start_backfill({}, {sink}));
  if (!new_views.empty()) TRY(start_backfill(std::move(new_views), {}));
  return {};
}

void Core::publish() {
  auto next = std::make_shared<Published>();
  next->epoch = epoch_;
  next->catalog = deps_.catalog.snapshot();
  for (const auto& view : main_.views) {
    if (view->state != View::State::running) continue;
    next->views[view->id()] = view->contents().version();
    next->late_rows[view->id()] = view->late().version();
  }
  for (const auto& [id, table] : lake_tables_) next->tables[id] = table.snapshot;
  published_ = std::move(next);
  if (on_publish_) on_publish_(published_);
}

Result<std::unique_ptr<Checkpoint>> Core::begin_checkpoint() {
  CHECK(!checkpoint_running_, "a checkpoint begins while another is written");
  auto checkpoint = std::make_unique<Checkpoint>();
  checkpoint->epoch = epoch_;
  checkpoint->begun_ns = deps_.clock.monotonic_ns();
  auto& batch = checkpoint->batch;
  auto freeze = [&](const std::shared_ptr<View>& view, RowTable& table) {
    checkpoint->frozen.push_back({view, &table, table.base(), table.freeze()});
  };
  for (const auto& view : main_.views) {
    if (view->state != View::State::running) {
      // What is stored of a failed view belongs to an older epoch: the next start makes it anew.
      batch.remove(tables_.positions, key_of(kViewPrefix, view->id()));
      continue;
    }
    TRY(view->save_state(batch));
    batch.put(tables_.positions, key_of(kViewPrefix, view->id()), view->meta());
    freeze(view, view->contents());
    freeze(view, view->late());
  }
  freeze(nullptr, *dead_letters_);
  for (const auto& [topic, feed] : main_.feeds) {
    ByteWriter out;
    feed->save(out);
    batch.put(tables_.positions, key_of(kFeedPrefix, topic), as_text(out.view()));
    for (int32_t p = 0; p < feed->partitions(); ++p) {
      checkpoint->positions.emplace_back(PartitionId{topic, p},
                                         TRY(needed_from(topic, p, feed->position(p))));
    }
  }
  for (const auto& [id, table] : lake_tables_) {
    ByteWriter out;
    out.svarint(table.snapshot->version());
    batch.put(tables_.positions, key_of(kTablePrefix, id), as_text(out.view()));
  }
  for (const auto& [topic, event] : unsaved_idle_) {
    batch.put(tables_.positions, idle_key(topic, event), "");
  }
  unsaved_idle_.clear();
  for (const auto& [id, sink] : sinks_) {
    TRY(sink->save_to(batch));
    if (sink->pending()) checkpoint->commits.push_back({sink, *sink->pending(), std::nullopt});
  }
  ByteWriter main;
  main.varint(kFormat);
  main.varint(epoch_.value);
  main.varint(dead_letters_->rows());
  main.varint(dead_letters_->changed_at().value);
  main.varint(dead_until_.size());
  for (const auto& [id, offset] : dead_until_) {
    main.varint(id.topic.value);
    main.varint(static_cast<uint64_t>(id.partition));
    main.varint(static_cast<uint64_t>(offset.value));
  }
  batch.put(tables_.positions, kMainKey, as_text(main.view()));
  checkpoint_running_ = true;
  dirty_ = false;
  return checkpoint;
}

/// After a restart a sink reads again what is in no finished file.
Result<Offset> Core::needed_from(ObjectId topic, int32_t partition, Offset position) const {
  for (const auto& sink : main_.sinks) {
    if (sink->from() != topic || sink->feed_position.empty()) continue;
    auto saved = TRY(TopicFeed::saved_positions(sink->feed_position));
    auto index = static_cast<size_t>(partition);
    position = std::min(position, index < saved.size() ? saved[index] : Offset());
  }
  return position;
}

void Core::write_checkpoint(Checkpoint& checkpoint) {
  checkpoint.outcome = [&]() -> Status {
    for (const auto& frozen : checkpoint.frozen) {
      if (frozen.batch != nullptr) {
        TRY(RowTable::write(frozen.base, *frozen.batch, checkpoint.batch));
      }
    }
    return deps_.store.write(std::move(checkpoint.batch), true);
  }();
  if (!checkpoint.outcome) return;
  // Only now may the files become visible: after a crash the checkpoint knows of them.
  for (auto& commit : checkpoint.commits) commit.outcome = commit.sink->commit(commit.pending);
}

Status Core::end_checkpoint(Checkpoint& checkpoint) {
  checkpoint_running_ = false;
  checkpoint_seconds_.observe(
      static_cast<double>(deps_.clock.monotonic_ns() - checkpoint.begun_ns) / 1e9);
  if (!checkpoint.outcome) {
    for (const auto& frozen : checkpoint.frozen) frozen.table->unfreeze();
    return std::move(checkpoint.outcome).error().context("a checkpoint cannot be written");
  }
  snapshot_ = deps_.store.snapshot();
  for (const auto& frozen : checkpoint.frozen) frozen.table->thaw(snapshot_);
  checkpoint_epoch_ = checkpoint.epoch;
  for (const auto& [partition, offset] : checkpoint.positions) {
    deps_.log.hold(partition, "stream", offset);
  }
  deps_.journal.hold("stream", checkpoint.epoch.next());
  for (auto& commit : checkpoint.commits) {
    Sink& sink = *commit.sink;
    if (!sinks_.contains(sink.id())) continue;
    if (!*commit.outcome) {
      if (sink.state == Sink::State::running) sink.state = Sink::State::retrying;
      sink.error = commit.outcome->error().to_string();
      log_warn("stream", "files of a sink cannot be committed yet", "sink={} error={}",
               sink.object().name, sink.error);
      continue;
    }
    sink.confirm(**commit.outcome);
    if (sink.state == Sink::State::retrying) sink.state = Sink::State::running;
    if (sink.state != Sink::State::failed) sink.error.clear();
    dirty_ = true;  // The next checkpoint forgets the files.
    deps_.journal.submit(journal::DeltaVersion{sink.into(), sink.version}, {},
                         [](Result<EntryNumber> entered) {
                           entered.ignore("announce_tables() enters it after a restart");
                         });
  }
  publish();
  return {};
}

Status Core::announce_tables() {
  for (auto& [id, table] : lake_tables_) {
    auto newest = TRY(table.table->refresh());
    if (newest->version() == table.snapshot->version()) continue;
    deps_.journal.submit(
        journal::DeltaVersion{id, newest->version()}, {},
        [](Result<EntryNumber> entered) { entered.ignore("tried again at the next start"); });
  }
  return {};
}

std::shared_ptr<data::Scan> Core::dead_letters() {
  return std::make_shared<DeadLetterScan>(dead_letters_->version()->scan(),
                                          deps_.catalog.snapshot());
}

std::vector<ViewStatus> Core::view_status() const {
  std::vector<ViewStatus> out;
  for (const auto& [id, view] : views_) {
    ViewStatus status{.id = id};
    status.state = view->state == View::State::running       ? "running"
                   : view->state == View::State::backfilling ? "backfilling"
                                                             : "failed";
    status.error = view->error;
    status.rows = view->contents().rows();
    status.state_bytes = view->state_bytes();
    status.epoch = view->epoch;
    status.checkpoint = view->state == View::State::running ? checkpoint_epoch_ : Epoch();
    status.late_rows = view->late().rows();
    status.row_errors = view->errors().count;
    status.last_row_error = view->errors().last;
    status.changed_at = view->contents().changed_at();
    for (const auto* source : view->sources()) {
      auto feed = main_.feeds.find(source->object());
      if (feed == main_.feeds.end() || feed->second->watermark() == kNoWatermark) continue;
      int64_t watermark = feed->second->watermark();
      status.watermark_us =
          status.watermark_us ? std::min(*status.watermark_us, watermark) : watermark;
    }
    out.push_back(std::move(status));
  }
  for (const auto& [id, error] : broken_views_) {
    out.push_back({.id = id, .state = "failed", .error = error});
  }
  return out;
}

std::vector<SinkStatus> Core::sink_status() const {
  std::vector<SinkStatus> out;
  for (const auto& [id, sink] : sinks_) {
    SinkStatus status{.id = id};
    switch (sink->state) {
      case Sink::State::running:
        status.state = "running";
        break;
      case Sink::State::backfilling:
        status.state = "backfilling";
        break;
      case Sink::State::retrying:
        status.state = "retrying";
        break;
      case Sink::State::failed:
        status.state = "failed";
        break;
    }
    status.error = sink->error;
    status.rows = sink->rows_written;
    status.version = sink->version;
    // Without rows in hand the table is as new as the pipeline.
    bool idle = sink->state == Sink::State::running && !sink->has_rows() && !sink->pending();
    status.epoch = idle ? epoch_ : sink->committed;
    out.push_back(std::move(status));
  }
  for (const auto& [id, error] : broken_sinks_) {
    out.push_back({.id = id, .state = "failed", .error = error});
  }
  return out;
}

size_t Core::state_bytes() const {
  size_t bytes = 0;
  for (const auto& [id, view] : views_) bytes += view->state_bytes();
  return bytes;
}

}  // namespace ziwa::stream
