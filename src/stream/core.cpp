#include "stream/core.h"

#include "base/log.h"
#include "base/metric_table.h"
#include "stream/positions.h"

namespace ziwa::stream {

ObjectId id_at(std::string_view key, size_t position) {
  return ObjectId(load_be<uint64_t>(key.data() + position));
}

std::string key_of(std::string_view prefix, ObjectId id) {
  return std::string(prefix) + id_prefix(id);
}

std::string idle_key(ObjectId topic, EntryNumber entry, int32_t partition) {
  char tail[12];
  store_be<uint64_t>(tail, entry.value);
  store_be<int32_t>(tail + 8, partition);
  return key_of(kIdlePrefix, topic) + std::string(tail, sizeof tail);
}

Core::Core(Engine::Dependencies dependencies, Engine::Options options)
    : deps_(std::move(dependencies)),
      options_(options),
      tables_(deps_.store),
      rows_counter_(deps_.metrics.counter(metric::stream_records_total)),
      steps_counter_(deps_.metrics.counter(metric::stream_steps_total)),
      dead_counter_(deps_.metrics.counter(metric::stream_dead_letters_total)),
      step_seconds_(deps_.metrics.histogram(metric::stream_step_seconds)),
      checkpoint_seconds_(deps_.metrics.histogram(metric::stream_checkpoint_seconds)) {
  main_.stalls_sinks = true;
}

/// The engine that is opened after this one has holds of its own.
Core::~Core() {
  for (const auto& backfill : backfills_) let_go(backfill->holds);
  for (const auto& holds : joined_) let_go(holds);
}

Result<std::unique_ptr<Core>> Core::open(Engine::Dependencies dependencies, Engine::Options options,
                                         bool patient) {
  std::unique_ptr<Core> core(new Core(std::move(dependencies), options));
  core->patient_ = patient;
  TRY(core->load());
  return core;
}

Result<std::unique_ptr<Dataflow>> Core::compile(const Plan& plan,
                                                const catalog::Snapshot& catalog) const {
  StageContext context = still_context();
  return Dataflow::compile(plan, context, [&](ObjectId id) { return source_object(id, catalog); });
}

/// For operators that never get a row.
StageContext Core::still_context() const {
  return {.instance = deps_.duck, .errors = nullptr, .late = nullptr, .watermark = [](ObjectId) {
            return kNoWatermark;
          }};
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
      return SourceObject{.schema = object->topic().schema,
                          .topic = true,
                          .timed = object->topic().watermark.has_value(),
                          .append_only = true,
                          .endless = true};
    case catalog::Kind::table:
      return SourceObject{.schema = object->table().schema};
    case catalog::Kind::view:
      return SourceObject{.schema = object->view().schema,
                          .append_only = TRY(only_grows(*object, catalog)),
                          .endless = !topics_behind(*object, catalog).empty()};
    case catalog::Kind::sink:
      break;
  }
  return Error(Code::unsupported, "a view cannot read the {} \"{}\"",
               catalog::kind_name(object->kind()), object->name);
}

/// The topics that a view follows, through other views too.
std::set<ObjectId> Core::topics_behind(const catalog::Object& view,
                                       const catalog::Snapshot& catalog) {
  std::set<ObjectId> topics;
  for (ObjectId id : view.depends_on) {
    auto object = catalog.find(id);
    if (object == nullptr) continue;
    if (object->kind() == catalog::Kind::topic) topics.insert(id);
    if (object->kind() == catalog::Kind::view) topics.merge(topics_behind(*object, catalog));
  }
  return topics;
}

Result<std::vector<OperatorReport>> Core::explain(const Plan& plan,
                                                  const catalog::Snapshot& catalog) const {
  StageContext context = still_context();
  auto dataflow = TRY(
      Dataflow::compile(plan, context, [&](ObjectId id) { return source_object(id, catalog); }));
  data::Schema schema;
  for (const auto& column : plan.root().output)
    schema.columns.push_back({column.id, column.name, column.type});
  TRY(RowLayout::create(schema, plan.key));
  return dataflow->report();
}

std::vector<OperatorReport> Core::operators(ObjectId view) const {
  auto at = views_.find(view);
  return at == views_.end() ? std::vector<OperatorReport>() : at->second->operators();
}

/// The first window that a view, or one that it reads, waits for by the watermark of a topic.
void Core::find_open_window(const View& view, Wait& wait) const {
  for (const auto& report : view.operators()) {
    if (!report.open || report.open->topic != wait.topic) continue;
    if (wait.closes_us && *wait.closes_us <= report.open->closes_us) continue;
    wait.closes_us = report.open->closes_us;
    wait.operator_view = view.id();
    wait.operator_label = view.label_of(report.node);
  }
  for (const auto* source : view.sources()) {
    if (const auto* read = main_.view(source->object())) find_open_window(*read, wait);
  }
}

std::vector<Wait> Core::waits() const {
  std::vector<Wait> waits;
  auto catalog = deps_.catalog.snapshot();
  const int64_t now = deps_.clock.monotonic_ns();
  for (const auto& view : main_.views) {
    if (view->state != View::State::running) continue;
    for (ObjectId topic : topics_behind(view->object(), *catalog)) {
      auto at = main_.feeds.find(topic);
      if (at == main_.feeds.end() || !at->second->has_watermark()) continue;
      const TopicFeed& feed = *at->second;
      const auto& tracker = feed.tracker();
      Wait wait{.view = view->id(), .topic = topic};
      if (feed.watermark() != kNoWatermark) wait.merged_us = feed.watermark();
      find_open_window(*view, wait);
      const auto least = tracker.least();
      for (int32_t p = 0; p < feed.partitions(); ++p) {
        const auto partition = static_cast<size_t>(p);
        wait.partition = p;
        wait.watermark_us = tracker.watermark(partition);
        wait.idle = tracker.is_idle(partition);
        wait.holds_back = !wait.idle && wait.watermark_us == least;
        auto active = last_active_ns_.find({topic, p});
        wait.silent_ms = active == last_active_ns_.end() ? 0 : (now - active->second) / 1'000'000;
        waits.push_back(wait);
      }
    }
  }
  return waits;
}

Status Core::validate(const Plan& plan, const catalog::Snapshot& catalog) const {
  TRY(explain(plan, catalog));
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

/// Whether a view or a sink can follow an object: a view that has failed gives no rows. Null in the
/// catalog is one that is being dropped with its readers: the change about it has yet to come here.
Status Core::check_source(ObjectId id, const catalog::Snapshot& catalog) const {
  auto object = catalog.find(id);
  if (object == nullptr) {
    return Error(Code::unavailable, "object {}, which it reads, is being dropped", id);
  }
  if (object->kind() == catalog::Kind::table) {
    if (auto broken = broken_tables_.find(id); broken != broken_tables_.end()) {
      return Error(Code::unavailable, "table \"{}\", which it reads, cannot be opened: {}",
                   object->name, broken->second.error);
    }
  }
  if (object->kind() == catalog::Kind::view) {
    auto view = views_.find(id);
    if (view == views_.end() || view->second->state == View::State::failed) {
      return Error(Code::unavailable, "view \"{}\", which it reads, has failed", object->name);
    }
  }
  return {};
}

/// Null when it cannot be made: then broken_views_ says why.
std::shared_ptr<View> Core::make_view(const catalog::ObjectPtr& object) {
  auto made = [&]() -> Result<std::shared_ptr<View>> {
    std::shared_ptr<View> view = TRY(View::create(object, view_dependencies()));
    auto catalog = deps_.catalog.snapshot();
    for (const auto* source : view->sources()) {
      TRY(check_source(source->object(), *catalog));
    }
    return view;
  }();
  if (made) {
    broken_views_.erase(object->id);
    return *made;
  }
  auto why = made.error().to_string();
  if (std::exchange(broken_views_[object->id], why) == why) return nullptr;
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
  return plan_sink(object, catalog, [into, open = deps_.table] { return open(*into); });
}

/// `table` opens it; none when the sink is only to be checked.
Result<std::shared_ptr<Sink>> Core::plan_sink(const catalog::ObjectPtr& object,
                                              const catalog::Snapshot& catalog,
                                              OpenTable table) const {
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

void Core::publish() {
  auto next = std::make_shared<Published>();
  next->epoch = epoch_;
  next->catalog = deps_.catalog.snapshot();
  for (const auto& view : main_.views) {
    if (view->state != View::State::running) continue;
    next->views[view->id()] = view->contents().version();
    next->late_rows[view->id()] = view->late().version();
    next->row_errors[view->id()] = view->errors().version();
  }
  for (const auto& [id, table] : lake_tables_) next->tables[id] = table.snapshot;
  next->unreadable = unreadable(*next->catalog);
  published_ = std::move(next);
  if (on_publish_) on_publish_(published_);
}

std::map<ObjectId, Error> Core::unreadable(const catalog::Snapshot& catalog) const {
  std::map<ObjectId, Error> why;
  for (const auto& [id, view] : views_) {
    if (view->state != View::State::failed) continue;
    why.emplace(
        id, Error(Code::conflict, "view \"{}\" has failed: {}", view->object().name, view->error)
                .because(Cause::view_failed)
                .with_hint("DROP it and CREATE it again"));
  }
  for (const auto& [id, error] : broken_views_) {
    auto object = catalog.find(id);
    if (object == nullptr) continue;
    why.emplace(id, Error(Code::unavailable, "view \"{}\" cannot be kept: {}", object->name, error)
                        .with_hint("it goes on when what it reads is there again"));
  }
  for (const auto& [id, broken] : broken_tables_) {
    why.emplace(id, Error(Code::unavailable, "table \"{}\" cannot be opened: {}",
                          broken.object->name, broken.error)
                        .with_hint("it is tried again every 10 s"));
  }
  return why;
}

Status Core::announce_tables() {
  for (auto& [id, table] : lake_tables_) {
    auto newest = table.table->refresh();
    if (!newest) {
      log_error("stream", "a table cannot be looked at", "table={} error={}", table.object->name,
                newest.error().to_string());
      continue;
    }
    if ((*newest)->version() == table.snapshot->version()) continue;
    deps_.journal.submit(
        journal::DeltaVersion{id, (*newest)->version()}, {},
        [](Result<EntryNumber> entered) { entered.ignore("tried again at the next start"); });
  }
  return {};
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
    status.row_errors = view->errors().rows();
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
    bool idle = sink->state == Sink::State::running && !sink->has_rows() && !sink->behind() &&
                !sink->pending();
    status.epoch = idle ? epoch_ : sink->committed;
    out.push_back(std::move(status));
  }
  for (const auto& [id, error] : broken_sinks_) {
    out.push_back({.id = id, .state = "failed", .error = error});
  }
  return out;
}

size_t Core::unsaved_bytes() const {
  size_t bytes = dead_letters_->memory_bytes();
  for (const auto& [id, view] : views_) {
    if (view->state == View::State::failed) continue;  // No checkpoint takes them.
    for (const RowTable* table : view->tables()) bytes += table->memory_bytes();
  }
  return bytes;
}

size_t Core::state_bytes() const {
  size_t bytes = 0;
  for (const auto& [id, view] : views_) bytes += view->state_bytes();
  return bytes;
}

}  // namespace ziwa::stream
