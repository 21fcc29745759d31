#include "base/log.h"
#include "stream/core.h"

#include <functional>

// Private pipelines: how new views and sinks come up to the main one, and catalog changes that make
// or end them.
namespace ziwa::stream {
namespace {

std::string holder_of(const Backfill& backfill) {
  return "stream.backfill." + std::to_string(backfill.number);
}

}  // namespace

Status Core::start_backfill(std::vector<std::shared_ptr<View>> views,
                            std::vector<std::shared_ptr<Sink>> sinks) {
  auto backfill = std::make_unique<Backfill>();
  backfill->number = next_backfill_++;
  auto catalog = deps_.catalog.snapshot();
  std::map<ObjectId, std::string> positions;  // A sink goes on where its files end.
  for (const auto& sink : sinks) {
    if (!sink->feed_position.empty()) positions[sink->from()] = sink->feed_position;
  }
  for (auto& view : views) {
    view->state = View::State::backfilling;
    backfill->pipeline.add(std::move(view));
  }
  for (auto& sink : sinks) {
    sink->state = Sink::State::backfilling;
    backfill->pipeline.add(std::move(sink));
  }
  std::set<ObjectId> sources;
  for (const auto& view : backfill->pipeline.views) {
    for (const auto* source : view->sources()) sources.insert(source->object());
  }
  for (const auto& sink : backfill->pipeline.sinks) sources.insert(sink->from());
  for (ObjectId id : sources) {
    auto object = catalog->find(id);
    if (object == nullptr || object->kind() != catalog::Kind::topic) continue;
    auto feed = TRY(TopicFeed::create(*object, deps_.log, options_.watermark_max_ahead_ms));
    if (auto position = positions.find(id); position != positions.end()) {
      ByteReader in(as_bytes(position->second));
      TRY(feed->load(in));
      feed->set_definition(*object);
    } else {
      TRY(feed->seek_to_start());
    }
    for (int32_t p = 0; p < feed->partitions(); ++p) {
      deps_.log.hold({id, p}, holder_of(*backfill), feed->position(p));
    }
    ByteWriter start;
    feed->save(start);
    for (const auto& sink : backfill->pipeline.sinks) {
      if (sink->from() == id && sink->feed_position.empty()) {
        sink->feed_position = as_text(start.view());
      }
    }
    backfill->pipeline.feeds[id] = std::move(feed);
  }
  backfill->pipeline.set_wants_blobs();
  backfills_.push_back(std::move(backfill));
  return {};
}

Result<bool> Core::advance_backfills() {
  bool progress = false;
  for (size_t i = 0; i < backfills_.size();) {
    auto& backfill = *backfills_[i];
    auto joined = advance(backfill);
    if (!joined) {
      // The records or the table cannot be read: these views fail, the others go on.
      for (const auto& view : backfill.pipeline.views) {
        view->state = View::State::failed;
        view->error = joined.error().to_string();
      }
      for (const auto& sink : backfill.pipeline.sinks) {
        sink->state = Sink::State::failed;
        sink->error = joined.error().to_string();
      }
      log_error("stream", "a backfill has failed", "error={}", joined.error().to_string());
    }
    if (joined && !*joined) {
      progress = progress || !waits_for_others(backfill);
      ++i;
      continue;
    }
    progress = true;
    let_go(backfill);
    backfills_.erase(backfills_.begin() + static_cast<ptrdiff_t>(i));
  }
  return progress;
}

void Core::let_go(const Backfill& backfill) {
  for (const auto& [topic, feed] : backfill.pipeline.feeds) {
    if (feed == nullptr) continue;
    for (int32_t p = 0; p < feed->partitions(); ++p) {
      deps_.log.hold({topic, p}, holder_of(backfill), std::nullopt);
    }
  }
}

/// The entries up to the main epoch that moved the topic's ends, with the times that the journal
/// still knows.
Status Core::plan_cuts(Backfill& backfill, TopicFeed& feed) {
  auto& cuts = backfill.cuts[feed.topic()];
  auto& until = backfill.cuts_until[feed.topic()];
  if (until == epoch_) return {};
  std::set<std::pair<uint64_t, int32_t>> known;
  for (const auto& cut : cuts) known.emplace(cut.entry.value, cut.partition);
  std::map<uint64_t, TimestampMs> times;
  if (feed.has_watermark() && options_.watermark_max_ahead_ms > 0) {
    EntryNumber after(std::max(until.value, deps_.journal.first().value - 1));
    while (after < epoch_) {
      auto entries = deps_.journal.read(after, 10'000);
      if (!entries || entries->empty()) break;
      for (const auto& entry : *entries) times[entry.number.value] = entry.time;
      after = entries->back().number;
    }
  }
  // Entries that the journal has forgotten are older than all that it knows.
  const TimestampMs oldest = times.empty() ? deps_.clock.now() : times.begin()->second;
  for (int32_t p = 0; p < feed.partitions(); ++p) {
    PartitionId id{feed.topic(), p};
    Offset end = TRY(deps_.log.stable_end_at(id, epoch_));
    Offset from = feed.position(p);
    if (end <= from) continue;
    for (const auto& point : TRY(deps_.log.entries_between(id, from, end))) {
      EntryNumber entry = std::min(point.entry, epoch_);
      if (known.contains({entry.value, p})) continue;
      Offset stable = std::min({point.end, end, TRY(deps_.log.stable_end_at(id, entry))});
      auto time = times.find(entry.value);
      cuts.push_back({.entry = entry,
                      .time = time == times.end() ? oldest : time->second,
                      .partition = p,
                      .end = stable});
    }
  }
  std::sort(cuts.begin(), cuts.end(), [](const TopicCut& a, const TopicCut& b) {
    return std::tie(a.entry, a.partition, a.end) < std::tie(b.entry, b.partition, b.end);
  });
  until = epoch_;
  return {};
}

/// Reads whole entries, about `rows_max` records. Returns how many.
Result<size_t> Core::read_slice(Backfill& backfill, TopicFeed& feed, size_t rows_max) {
  TRY(plan_cuts(backfill, feed));
  auto& cuts = backfill.cuts[feed.topic()];
  std::map<int32_t, Offset> ends;
  size_t rows = 0;
  size_t count = 0;
  while (count < cuts.size()) {
    if (rows >= rows_max && cuts[count].entry != cuts[count - 1].entry) break;
    const auto& cut = cuts[count++];
    auto& end = ends.try_emplace(cut.partition, feed.position(cut.partition)).first->second;
    if (cut.end > end) rows += static_cast<size_t>(cut.end.value - end.value);
    end = std::max(end, cut.end);
  }
  bool all = count == cuts.size();
  Epoch last = all ? epoch_ : cuts[count - 1].entry;
  std::vector<IdleEvent> idles;
  auto& history = idle_history_[feed.topic()];
  for (const auto& idle : history) {
    if (idle.entry > feed.last_entry() && idle.entry <= last) idles.push_back(idle);
  }
  TRY(backfill.pipeline.read(feed, std::span(cuts).first(count), idles,
                             [this](DeadLetter letter) { add_dead_letter(std::move(letter)); }));
  feed.set_last_entry(last);
  cuts.erase(cuts.begin(), cuts.begin() + static_cast<ptrdiff_t>(count));
  return rows;
}

Status Core::read_backfill_tables(Backfill& backfill) {
  for (const auto& [id, table] : lake_tables_) {
    if (!backfill.pipeline.reads(id)) continue;
    auto& version = backfill.tables.try_emplace(id, -1).first->second;
    if (version >= table.snapshot->version()) continue;
    for (auto& change : TRY(table.table->changes(version, table.snapshot->version()))) {
      TRY(backfill.pipeline.push(id, *change.rows, change.weight));
    }
    version = table.snapshot->version();
  }
  return {};
}

/// A view on a view that is not there yet cannot join.
bool Core::waits_for_others(const Backfill& backfill) const {
  auto missing = [&](ObjectId id) {
    auto view = views_.find(id);
    if (view == views_.end() || view->second->state == View::State::running) return false;
    for (const auto& own : backfill.pipeline.views) {
      if (own->id() == id) return false;
    }
    return view->second->state == View::State::backfilling;
  };
  for (const auto& view : backfill.pipeline.views) {
    for (const auto* source : view->sources()) {
      if (missing(source->object())) return true;
    }
  }
  for (const auto& sink : backfill.pipeline.sinks) {
    if (missing(sink->from())) return true;
  }
  return false;
}

Result<bool> Core::advance(Backfill& backfill) {
  TRY(read_backfill_tables(backfill));
  size_t left = options_.backfill_rows;
  for (const auto& [topic, feed] : backfill.pipeline.feeds) {
    if (left == 0) break;
    left -= std::min(left, TRY(read_slice(backfill, *feed, left)));
  }
  bool caught_up = true;
  for (const auto& [topic, feed] : backfill.pipeline.feeds) {
    caught_up = caught_up && feed->last_entry() == epoch_;
  }
  TRY(flush_dead_letters());
  TRY(dead_letters_->apply(epoch_));
  if (!caught_up || waits_for_others(backfill)) {
    backfill.pipeline.finish(epoch_);
    TRY(spill(backfill));
    return false;
  }
  TRY(join(backfill));
  return true;
}

/// Rows of a long backfill go to the store at once. Should the process die, no position says that
/// they are a view, and the next start removes them.
Status Core::spill(Backfill& backfill) {
  for (const auto& view : backfill.pipeline.views) {
    RowTable& contents = view->contents();
    if (contents.memory_bytes() < options_.spill_bytes || checkpoint_running_) continue;
    auto base = contents.base();
    auto frozen = contents.freeze();
    if (frozen == nullptr) continue;
    state::WriteBatch batch;
    TRY(RowTable::write(base, *frozen, batch));
    TRY(deps_.store.write(std::move(batch), false));
    contents.thaw(deps_.store.snapshot());
  }
  return {};
}

/// Everything of the private pipeline has reached the main epoch: it becomes part of the main one.
Status Core::join(Backfill& backfill) {
  auto& from = backfill.pipeline;
  for (const auto& view : from.views) {
    std::set<ObjectId> done;
    for (const auto* source : view->sources()) {
      auto* read = main_.view(source->object());
      if (read == nullptr || !done.insert(read->id()).second) continue;
      auto scan = read->contents().version()->scan();
      TRY(from.push(read->id(), *scan, 1, view.get()));
    }
  }
  for (const auto& sink : from.sinks) {
    auto* read = main_.view(sink->from());
    if (read == nullptr) continue;
    TRY(sink->write_all(*read->contents().version()->scan()));
  }
  from.finish(epoch_);
  for (auto& [topic, feed] : from.feeds) {
    if (main_.feeds.contains(topic)) continue;
    for (int32_t p = 0; p < feed->partitions(); ++p) {
      PartitionId id{topic, p};
      last_active_ns_[id] = deps_.clock.monotonic_ns();
      deps_.log.hold(id, holder_of(backfill), std::nullopt);
      deps_.log.hold(id, "stream", feed->position(p));
      unstable_.insert(id);  // Looked at in the next step.
    }
    main_.feeds[topic] = std::move(feed);
  }
  for (const auto& view : from.views) {
    if (view->state == View::State::backfilling) view->state = View::State::running;
    main_.add(view);
  }
  for (const auto& sink : from.sinks) {
    if (sink->state == Sink::State::backfilling) sink->state = Sink::State::running;
    main_.add(sink);
  }
  sort_views();
  main_.set_wants_blobs();
  dirty_ = true;
  publish();
  return {};
}

void Core::sort_views() {
  std::vector<std::shared_ptr<View>> sorted;
  std::set<ObjectId> placed;
  std::function<void(const std::shared_ptr<View>&)> place = [&](const std::shared_ptr<View>& view) {
    if (!placed.insert(view->id()).second) return;
    for (const auto* source : view->sources()) {
      for (const auto& other : main_.views) {
        if (other->id() == source->object()) place(other);
      }
    }
    sorted.push_back(view);
  };
  for (const auto& view : main_.views) place(view);
  main_.views = std::move(sorted);
}

Status Core::drop(const catalog::Object& object) {
  main_.remove(object.id);
  for (auto& backfill : backfills_) backfill->pipeline.remove(object.id);
  std::erase_if(backfills_, [&](const auto& backfill) {
    bool empty = backfill->pipeline.views.empty() && backfill->pipeline.sinks.empty();
    if (empty) let_go(*backfill);
    return empty;
  });
  for (const auto& feed : main_.drop_unused_feeds()) {
    for (int32_t p = 0; p < feed->partitions(); ++p) {
      deps_.log.hold({feed->topic(), p}, "stream", std::nullopt);
    }
    state::WriteBatch batch;
    batch.remove(tables_.positions, "feed/" + id_prefix(feed->topic()));
    TRY(deps_.store.write(std::move(batch), false));
  }
  state::WriteBatch batch;
  switch (object.kind()) {
    case catalog::Kind::view:
      views_.erase(object.id);
      broken_views_.erase(object.id);
      View::erase(object.id, tables_, batch);
      break;
    case catalog::Kind::sink:
      sinks_.erase(object.id);
      broken_sinks_.erase(object.id);
      Sink::erase(object.id, tables_, batch);
      break;
    case catalog::Kind::table:
      lake_tables_.erase(object.id);
      batch.remove(tables_.positions, "table/" + id_prefix(object.id));
      break;
    case catalog::Kind::topic: {
      TRY(forget_topic(object.id));
      idle_history_.erase(object.id);
      auto idle = "idle/" + id_prefix(object.id);
      batch.remove_range(tables_.positions, idle, data::RowKeyEncoder::after_prefix(idle));
      break;
    }
  }
  return deps_.store.write(std::move(batch), false);
}

Result<std::vector<ObjectId>> Core::change(const std::vector<catalog::Change>& changes) {
  CHECK(!checkpoint_running_, "the catalog changes while a checkpoint is written");
  std::vector<std::shared_ptr<View>> views;
  std::vector<std::shared_ptr<Sink>> sinks;
  std::vector<ObjectId> made;
  for (const auto& change : changes) {
    if (change.after == nullptr) {
      TRY(drop(*change.before));
      continue;
    }
    const auto& object = change.after;
    bool is_new = change.before == nullptr;
    switch (object->kind()) {
      case catalog::Kind::table:
        if (is_new) {
          TRY(open_table(object, std::nullopt));
        } else if (auto at = lake_tables_.find(object->id); at != lake_tables_.end()) {
          at->second.object = object;
        }
        break;
      case catalog::Kind::topic:
        if (auto* feed = main_.feed(object->id)) feed->set_definition(*object);
        for (const auto& backfill : backfills_) {
          if (auto* feed = backfill->pipeline.feed(object->id)) feed->set_definition(*object);
        }
        break;
      case catalog::Kind::view: {
        if (!is_new && change.before->view().plan == object->view().plan) {
          if (auto at = views_.find(object->id); at != views_.end()) at->second->set_object(object);
          break;
        }
        // One that is there already came with the catalog when the state was opened again.
        if (is_new && views_.contains(object->id)) break;
        if (!is_new) TRY(drop(*change.before));
        auto view = make_view(object);
        if (view == nullptr) break;
        views_[object->id] = view;
        views.push_back(view);
        made.push_back(object->id);
        break;
      }
      case catalog::Kind::sink: {
        const auto* before = is_new ? nullptr : &change.before->sink();
        if (before != nullptr && before->from == object->sink().from &&
            before->into == object->sink().into) {
          if (auto at = sinks_.find(object->id); at != sinks_.end()) at->second->set_object(object);
          break;
        }
        if (is_new && sinks_.contains(object->id)) break;
        if (!is_new) TRY(drop(*change.before));
        auto created = make_sink(object, *deps_.catalog.snapshot());
        if (!created) {
          broken_sinks_[object->id] = created.error().to_string();
          log_error("stream", "a sink cannot be made", "sink={} error={}", object->name,
                    created.error().to_string());
          break;
        }
        sinks_[object->id] = *created;
        sinks.push_back(*created);
        made.push_back(object->id);
        break;
      }
    }
  }
  if (!views.empty() || !sinks.empty()) TRY(start_backfill(std::move(views), std::move(sinks)));
  dirty_ = true;
  publish();
  return made;
}

bool Core::still_backfilling(const std::vector<ObjectId>& ids) const {
  for (ObjectId id : ids) {
    auto view = views_.find(id);
    if (view != views_.end() && view->second->state == View::State::backfilling) return true;
    auto sink = sinks_.find(id);
    if (sink != sinks_.end() && sink->second->state == Sink::State::backfilling) return true;
  }
  return false;
}

}  // namespace ziwa::stream
