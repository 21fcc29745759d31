#include "base/log.h"
#include "stream/core.h"
#include "stream/positions.h"

// The catalog changes: views, sinks, tables and topics come and go.
namespace ziwa::stream {

/// New ones of one commit: they come up together.
struct Core::Made {
  std::vector<std::shared_ptr<View>> views;
  std::vector<std::shared_ptr<Sink>> sinks;
  std::vector<ObjectId> ids;
};

void Core::drop_unused_feeds() {
  for (const auto& feed : main_.drop_unused_feeds()) {
    for (int32_t p = 0; p < feed->partitions(); ++p) {
      hold_records({feed->topic(), p}, std::nullopt);
    }
    remove_later([topic = feed->topic(), this](state::WriteBatch& batch) {
      batch.remove(tables_.positions, key_of(kFeedPrefix, topic));
    });
  }
}

/// Lets go of all that an object holds at once; what is stored of it goes with the next checkpoint.
void Core::drop(const catalog::Object& object) {
  main_.remove(object.id);
  for (auto& backfill : backfills_) backfill->pipeline.remove(object.id);
  std::erase_if(backfills_, [&](const auto& backfill) {
    bool empty = backfill->pipeline.views.empty() && backfill->pipeline.sinks.empty();
    if (empty) let_go(backfill->holds);
    return empty;
  });
  std::erase_if(joined_, [&](auto& holds) {
    bool last = holds.readers.erase(object.id) > 0 && holds.readers.empty();
    if (last) let_go(holds);
    return last;
  });
  drop_unused_feeds();
  const ObjectId id = object.id;
  switch (object.kind()) {
    case catalog::Kind::view:
      views_.erase(id);
      broken_views_.erase(id);
      remove_later([id, this](state::WriteBatch& batch) { View::erase(id, tables_, batch); });
      break;
    case catalog::Kind::sink:
      sinks_.erase(id);
      broken_sinks_.erase(id);
      remove_later([id, this](state::WriteBatch& batch) { Sink::erase(id, tables_, batch); });
      break;
    case catalog::Kind::table:
      lake_tables_.erase(id);
      saved_tables_.erase(id);
      broken_tables_.erase(id);
      remove_later([id, this](state::WriteBatch& batch) {
        batch.remove(tables_.positions, key_of(kTablePrefix, id));
      });
      break;
    case catalog::Kind::topic: {
      Status forgotten = forget_topic(id);
      if (!forgotten) {
        log_warn("stream", "dead letters of a dropped topic stay until the next start",
                 "topic={} error={}", object.name, forgotten.error().to_string());
      }
      idle_history_.erase(id);
      std::erase_if(unsaved_idle_, [&](const auto& each) { return each.first == id; });
      remove_later([id, this](state::WriteBatch& batch) {
        auto idle = key_of(kIdlePrefix, id);
        batch.remove_range(tables_.positions, idle, data::RowKeyEncoder::after_prefix(idle));
      });
      break;
    }
  }
}

Result<std::vector<ObjectId>> Core::change(const std::vector<catalog::Change>& changes) {
  CHECK(!checkpoint_running_, "the catalog changes while a checkpoint is written");
  Made made;
  for (const auto& change : changes) change_one(change, made);
  // One whose table cannot be opened must not keep the others, and nobody waits for it.
  for (auto& sink : made.sinks) {
    if (sink->open_table()) continue;
    std::erase(made.ids, sink->id());
    start_backfill({}, {std::exchange(sink, nullptr)});
  }
  std::erase(made.sinks, nullptr);
  if (!made.views.empty() || !made.sinks.empty()) {
    start_backfill(std::move(made.views), std::move(made.sinks));
  }
  dirty_ = true;
  publish();
  return std::move(made.ids);
}

/// The commit stands: an error of one object is that object's, and the others go on.
void Core::change_one(const catalog::Change& change, Made& made) {
  if (change.after == nullptr) return drop(*change.before);
  const auto& object = change.after;
  switch (object->kind()) {
    case catalog::Kind::table:
      if (change.before == nullptr) {
        open_table(object, std::nullopt).ignore("it says so to all who ask for the table");
      } else if (auto at = lake_tables_.find(object->id); at != lake_tables_.end()) {
        at->second.object = object;
      }
      return;
    case catalog::Kind::topic:
      if (auto* feed = main_.feed(object->id)) feed->set_definition(*object);
      for (const auto& backfill : backfills_) {
        if (auto* feed = backfill->pipeline.feed(object->id)) feed->set_definition(*object);
      }
      return;
    case catalog::Kind::view:
      return change_view(change, made);
    case catalog::Kind::sink:
      return change_sink(change, made);
  }
}

void Core::change_view(const catalog::Change& change, Made& made) {
  const auto& object = change.after;
  const bool is_new = change.before == nullptr;
  if (!is_new && change.before->view().plan == object->view().plan) {
    if (auto at = views_.find(object->id); at != views_.end()) at->second->set_object(object);
    return;
  }
  // One that is there already came with the catalog when the state was opened again.
  if (is_new && views_.contains(object->id)) return;
  if (!is_new) drop(*change.before);
  auto view = make_view(object);
  if (view == nullptr) return;
  views_[object->id] = view;
  made.views.push_back(view);
  made.ids.push_back(object->id);
}

void Core::change_sink(const catalog::Change& change, Made& made) {
  const auto& object = change.after;
  const bool is_new = change.before == nullptr;
  const auto* before = is_new ? nullptr : &change.before->sink();
  if (before != nullptr && before->from == object->sink().from &&
      before->into == object->sink().into) {
    if (auto at = sinks_.find(object->id); at != sinks_.end()) at->second->set_object(object);
    return;
  }
  if (is_new && sinks_.contains(object->id)) return;
  if (!is_new) drop(*change.before);
  auto created = make_sink(object, *deps_.catalog.snapshot());
  if (!created) {
    broken_sinks_[object->id] = created.error().to_string();
    log_error("stream", "a sink cannot be made", "sink={} error={}", object->name,
              created.error().to_string());
    return;
  }
  sinks_[object->id] = *created;
  made.sinks.push_back(*created);
  made.ids.push_back(object->id);
}

}  // namespace ziwa::stream
