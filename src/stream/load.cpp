#include "base/log.h"
#include "stream/core.h"
#include "stream/positions.h"

#include <functional>
#include <set>

// What the last checkpoint and the catalog say, made into views, sinks and feeds.
namespace ziwa::stream {
namespace {

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

/// How the main position begins.
struct MainHead {
  uint64_t format = 0;
  Epoch epoch;
};

/// Errors: corrupt; unsupported (a newer format).
Result<MainHead> read_main_head(ByteReader& in) {
  MainHead head{.format = in.varint(), .epoch = Epoch(in.varint())};
  TRY(in.status("the main position"));
  if (head.format > 0 && head.format <= kStateFormat) return head;
  return Error(Code::unsupported, "stream state has format {}; this program reads up to {}",
               head.format, kStateFormat);
}

}  // namespace

/// What a start finds, and what of it has to be brought up to the main pipeline.
struct Core::Loaded {
  catalog::SnapshotPtr catalog;
  bool at_start = true;  ///< Nothing has stepped since the checkpoint.
  std::vector<std::shared_ptr<View>> views;
  std::vector<std::shared_ptr<Sink>> sinks;
};

void Core::note_broken(const catalog::ObjectPtr& object, const Error& error) {
  auto text = error.to_string();
  auto& broken = broken_tables_[object->id];
  if (broken.error != text) {
    log_error("stream", "a table cannot be opened; it is tried again", "table={} error={}",
              object->name, text);
  }
  broken = {object, std::move(text)};
  tables_tried_ns_ = deps_.clock.monotonic_ns();
}

/// A table that cannot be opened is missing to those who read it, not to the others. While there is
/// patience, it is waited for: they would have to be made anew.
Status Core::open_table(const catalog::ObjectPtr& object, std::optional<int64_t> version) {
  auto missing = [&](Error error) -> Status {
    // A folder may be about to be mounted.
    const bool not_yet = may_pass(error) || error.code() == Code::not_found;
    if (patient_ && not_yet) {
      return Error(Code::unavailable, "table \"{}\" cannot be opened: {}", object->name,
                   error.to_string());
    }
    note_broken(object, error);
    return {};
  };
  auto opened = deps_.table(*object);
  if (!opened) return missing(std::move(opened).error());
  auto snapshot = (*opened)->snapshot();
  if (version && *version != snapshot->version()) {
    auto older = (*opened)->at_version(*version);
    if (!older && may_pass(older.error())) return missing(std::move(older).error());
    if (older) {
      snapshot = *older;
    } else {  // Cleaned up, or damaged: who has read it cannot go on from there.
      jumped_tables_.insert(object->id);
      log_warn("stream", "the version of a table that views have read is gone",
               "table={} version={} error={}", object->name, *version, older.error().to_string());
    }
  }
  lake_tables_[object->id] = {object, std::move(*opened), std::move(snapshot)};
  broken_tables_.erase(object->id);
  return {};
}

Status Core::load() {
  TRY(make_dead_letters());
  auto main = TRY(deps_.store.get(tables_.positions, kMainKey));
  if (main) {
    TRY(load_main(*main));
  } else {
    epoch_ = deps_.journal.durable();
    checkpoint_epoch_ = epoch_;
  }
  TRY(load_objects());
  TRY(forget_unknown());
  for (const auto& [topic, feed] : main_.feeds) {
    for (int32_t p = 0; p < feed->partitions(); ++p) {
      hold_records({topic, p}, TRY(needed_from(topic, p, feed->position(p))));
    }
  }
  release_holds();
  patient_ = false;  // From now on nobody opens all again for one.
  deps_.journal.hold("stream", epoch_.next());
  publish();
  return {};
}

/// A core that was thrown away may have followed topics that this one does not.
void Core::release_holds() {
  for (const auto& object : deps_.catalog.snapshot()->all()) {
    if (object->kind() != catalog::Kind::topic || main_.feeds.contains(object->id)) continue;
    for (int32_t p = 0; p < object->topic().partitions; ++p) {
      deps_.log.hold({object->id, p}, "stream", std::nullopt);
    }
  }
}

/// A view may have been dropped while it was made: then no position speaks of its rows.
Status Core::forget_unknown_rows(const catalog::Snapshot& catalog) {
  for (auto table : {tables_.views, tables_.state, tables_.late}) {
    auto cursor = deps_.store.cursor(table);
    cursor->seek("");
    while (cursor->valid() && cursor->key().size() >= sizeof(uint64_t)) {
      ObjectId id = id_at(cursor->key(), 0);
      if (catalog.find(id) == nullptr) {
        remove_later([id, this](state::WriteBatch& batch) { View::erase(id, tables_, batch); });
      }
      cursor->seek(data::RowKeyEncoder::after_prefix(id_prefix(id)));
    }
    TRY(cursor->status());
  }
  return {};
}

/// The catalog is right: what it does not know goes. It may have changed after the last checkpoint.
Status Core::forget_unknown() {
  auto catalog = deps_.catalog.snapshot();
  std::vector<std::string> keys;
  auto cursor = deps_.store.cursor(tables_.positions);
  for (cursor->seek(""); cursor->valid(); cursor->next()) {
    auto key = cursor->key();
    auto slash = key.find('/');
    if (slash == std::string_view::npos || key.size() < slash + 9) continue;
    ObjectId id = id_at(key, slash + 1);
    if (catalog->find(id) != nullptr) continue;
    keys.emplace_back(key);
    idle_history_.erase(id);
    if (key.starts_with(kViewPrefix)) {
      remove_later([id, this](state::WriteBatch& batch) { View::erase(id, tables_, batch); });
    } else if (key.starts_with(kSinkPrefix)) {
      remove_later([id, this](state::WriteBatch& batch) { Sink::erase(id, tables_, batch); });
    }
  }
  TRY(cursor->status());
  if (!keys.empty()) {
    remove_later([keys, this](state::WriteBatch& batch) {
      for (const auto& key : keys) batch.remove(tables_.positions, key);
    });
  }
  TRY(forget_unknown_rows(*catalog));
  std::set<ObjectId> topics;
  for (const auto& [id, until] : dead_until_) topics.insert(id.topic);
  for (ObjectId topic : topics) {
    if (catalog->find(topic) == nullptr) TRY(forget_topic(topic));
  }
  return {};
}

Result<std::optional<Epoch>> checkpointed_epoch(state::Store& store) {
  auto main = TRY(store.get(store.table("positions"), kMainKey));
  if (!main) return std::optional<Epoch>();
  ByteReader in(as_bytes(*main));
  return std::optional(TRY(read_main_head(in)).epoch);
}

// "main": varint format, varint epoch, varint dead letters, varint changed_at of dead letters,
// varint count, then per partition with dead letters: varint topic, varint partition, varint
// offset.
Status Core::load_main(std::string_view meta) {
  ByteReader in(as_bytes(meta));
  const MainHead head = TRY(read_main_head(in));
  format_ = head.format;
  epoch_ = head.epoch;
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
  auto feed = TRY(TopicFeed::create(*object, deps_.log, feed_options()));
  ByteReader in(as_bytes(meta));
  TRY(feed->load(in));
  feed->set_last_entry(epoch_);
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

Status Core::load_objects() {
  Loaded loaded{.catalog = deps_.catalog.snapshot(), .views = {}, .sinks = {}};
  auto objects = in_order(*loaded.catalog);
  for (const auto& object : objects) {
    if (object->kind() == catalog::Kind::table) {
      std::optional<int64_t> version;
      if (auto meta = TRY(stored_meta(kTablePrefix, object->id))) {
        ByteReader in(as_bytes(*meta));
        version = in.svarint();
        saved_tables_[object->id] = *version;
      }
      TRY(open_table(object, version));
    } else if (object->kind() == catalog::Kind::topic) {
      auto meta = TRY(stored_meta(kFeedPrefix, object->id));
      if (!meta) continue;
      Status feed = load_feed(object->id, *meta);
      if (feed) continue;  // Without its feed a view cannot go on from where it was.
      log_error("stream", "the position in a topic cannot be read", "topic={} error={}",
                object->name, feed.error().to_string());
    }
  }
  for (const auto& object : objects) {
    if (object->kind() == catalog::Kind::view) TRY(load_view(object, loaded));
  }
  for (const auto& object : objects) {
    if (object->kind() == catalog::Kind::sink) TRY(load_sink(object, loaded));
  }
  main_.set_wants_blobs();
  sort_views();
  start_loaded(std::move(loaded));
  drop_unused_feeds();  // After the others hold what they need.
  return {};
}

void Core::start_loaded(Loaded loaded) {
  // Each on its own: one that cannot be read again must not hold up the others.
  for (auto& sink : loaded.sinks) start_backfill({}, {sink});
  if (!loaded.views.empty()) start_backfill(std::move(loaded.views), {});
}

Result<std::optional<std::string>> Core::stored_meta(std::string_view prefix, ObjectId id) {
  if (snapshot_ == nullptr) return std::optional<std::string>();
  return deps_.store.get(tables_.positions, key_of(prefix, id));
}

/// What cannot be read now may be read later: what is stored of it stays. Others go on without it.
Status Core::leave_out(std::map<ObjectId, std::string>& broken, const catalog::Object& object,
                       Error error) {
  if (patient_) return std::move(error).context("loading \"" + object.name + "\"");
  broken[object.id] = error.to_string();
  log_error("stream", "the state of a view or sink cannot be read: others go on without it",
            "object={} error={}", object.name, broken[object.id]);
  return {};
}

Status Core::load_view(const catalog::ObjectPtr& object, Loaded& loaded) {
  auto view = make_view(object);
  if (view == nullptr) return {};
  bool running = false;
  if (auto meta = TRY(stored_meta(kViewPrefix, object->id))) {
    auto stored = View::read_meta(*meta);
    auto restored = stored && stored->error.empty() ? restore_view(*view, *stored, loaded.at_start)
                                                    : Result<bool>(false);
    if (!restored && may_pass(restored.error()))
      return leave_out(broken_views_, *object, std::move(restored).error());
    views_[object->id] = view;
    if (stored) view->error = stored->error;
    if (!stored) view->error = stored.error().to_string();
    if (!restored) view->error = restored.error().to_string();
    if (!view->error.empty()) {
      view->state = View::State::failed;
      view->release();
      log_error("stream", "a view has failed and is not served", "view={} error={}", object->name,
                view->error);
      return {};
    }
    running = *restored;
  }
  views_[object->id] = view;
  if (running) {
    view->state = View::State::running;
    main_.add(view);
    return {};
  }
  remove_later(
      [id = object->id, this](state::WriteBatch& batch) { View::erase(id, tables_, batch); });
  loaded.views.push_back(view);
  return {};
}

/// Takes back what the checkpoint holds of a view. False: it must be made anew, and can be.
Result<bool> Core::restore_view(View& view, const View::Stored& stored, bool at_start) {
  view.epoch = stored.epoch.value_or(format_ == 1 ? epoch_ : Epoch());
  if (stored.epoch && stored.plan != view.plan_sum()) return false;
  // Which rows these were is not known: one that is taken back could not be found.
  const bool knows_errors = stored.row_errors == 0 || stored.errors_changed_at;
  auto catalog = deps_.catalog.snapshot();
  bool whole = at_start && view.epoch == epoch_ && knows_errors;
  for (const auto* source : view.sources()) {
    auto object = catalog->find(source->object());
    if (object == nullptr) return check_source(source->object(), *catalog).error();
    auto kind = object->kind();
    if (kind == catalog::Kind::topic) whole = whole && main_.feed(source->object()) != nullptr;
    if (kind == catalog::Kind::table) whole = whole && !jumped_tables_.contains(source->object());
    if (kind == catalog::Kind::view) whole = whole && main_.view(source->object()) != nullptr;
  }
  if (whole) {
    TRY(view.load(snapshot_, stored));
    return true;
  }
  // Others went on without it. Its rows may have outlived their records: to begin again with the
  // records that are left would lose them without a word.
  if (TRY(has_all_records(view))) return false;
  return Error(Code::corrupt,
               "data_lost: the view stands at epoch {} and a topic that it reads has deleted "
               "records since",
               view.epoch)
      .with_hint("DROP and CREATE the view to begin with the records that are left");
}

Result<bool> Core::has_all_records(const View& view) const {
  auto catalog = deps_.catalog.snapshot();
  for (const auto* source : view.sources()) {
    auto object = catalog->find(source->object());
    if (object == nullptr || object->kind() != catalog::Kind::topic) continue;
    for (int32_t p = 0; p < object->topic().partitions; ++p) {
      if (TRY(deps_.log.info({object->id, p})).log_start > Offset()) return false;
    }
  }
  return true;
}

Status Core::load_sink(const catalog::ObjectPtr& object, Loaded& loaded) {
  auto created = make_sink(object, *loaded.catalog);
  if (!created) {
    auto why = created.error().to_string();
    if (std::exchange(broken_sinks_[object->id], why) == why) return {};
    log_error("stream", "a sink cannot be made", "sink={} error={}", object->name, why);
    return {};
  }
  auto sink = std::move(*created);
  auto meta = TRY(stored_meta(kSinkPrefix, object->id));
  if (meta) {
    Status restored = restore_sink(*sink, *meta, loaded.at_start);
    if (!restored && may_pass(restored.error()))
      return leave_out(broken_sinks_, *object, std::move(restored).error());
    if (!restored) main_.fail(*sink, restored.error());
  } else {
    remove_later(
        [id = object->id, this](state::WriteBatch& batch) { Sink::erase(id, tables_, batch); });
  }
  broken_sinks_.erase(object->id);
  sinks_[object->id] = sink;
  if (sink->state == Sink::State::backfilling) loaded.sinks.push_back(sink);
  if (sink->state != Sink::State::running) return {};
  main_.add(sink);
  // It follows its view also while it cannot write.
  if (Status opened = sink->open_table(); !opened) postpone(*sink, opened.error());
  return {};
}

/// Takes back what the checkpoint holds of a sink. It stays `backfilling` when it has to catch up.
Status Core::restore_sink(Sink& sink, std::string_view meta, bool at_start) {
  TRY(sink.load_from(*snapshot_, meta));
  if (sink.state == Sink::State::failed || !sink.of_view) return {};
  const bool whole = sink.followed.value_or(epoch_) == epoch_;
  if (at_start && whole && main_.view(sink.from()) != nullptr) {
    sink.state = Sink::State::running;
    return {};
  }
  if (!sink.has_begun()) return {};
  return Error(Code::corrupt,
               "data_lost: the view that it reads is not what it was, and the table has rows of it")
      .with_hint("DROP the sink; CREATE one into a new table");
}

/// Tables that could not be opened may be there now; and with them what reads them.
void Core::retry_broken() {
  if (broken_tables_.empty()) return;
  int64_t now = deps_.clock.monotonic_ns();
  if (now - tables_tried_ns_ < kBrokenTableRetryNs) return;
  tables_tried_ns_ = now;
  size_t before = broken_tables_.size();
  for (const auto& [id, broken] : std::map(broken_tables_)) {
    open_table(broken.object, {}).ignore("it says so to all who ask for the table");
  }
  if (broken_tables_.size() == before) return;
  Loaded loaded{.catalog = deps_.catalog.snapshot(), .at_start = false, .views = {}, .sinks = {}};
  for (const auto& object : in_order(*loaded.catalog)) {
    Status done;
    if (broken_views_.contains(object->id)) done = load_view(object, loaded);
    if (broken_sinks_.contains(object->id)) done = load_sink(object, loaded);
    if (!done) {
      log_error("stream", "what a checkpoint says cannot be read", "object={} error={}",
                object->name, done.error().to_string());
    }
  }
  start_loaded(std::move(loaded));
  dirty_ = true;
  publish();
}

}  // namespace ziwa::stream
