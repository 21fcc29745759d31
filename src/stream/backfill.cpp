#include "base/log.h"
#include "stream/core.h"

#include <atomic>
#include <functional>

// Private pipelines: how new views and sinks come up to the main one.
namespace ziwa::stream {
namespace {

/// Numbers of all engines of the process: one that opens its state again must not take away the
/// holds of its next life.
uint64_t next_backfill() {
  static std::atomic<uint64_t> next = 1;
  return next++;
}

std::string holder_of(const BackfillHolds& holds) {
  return "stream.backfill." + std::to_string(holds.number);
}

}  // namespace

void Core::start_backfill(std::vector<std::shared_ptr<View>> views,
                          std::vector<std::shared_ptr<Sink>> sinks) {
  auto backfill = std::make_unique<Backfill>();
  backfill->holds.number = next_backfill();
  for (auto& view : views) {
    view->state = View::State::backfilling;
    backfill->pipeline.add(std::move(view));
  }
  for (auto& sink : sinks) {
    sink->state = Sink::State::backfilling;
    backfill->pipeline.add(std::move(sink));
  }
  Status opened = open_feeds(*backfill);
  if (opened) opened = open_tables(*backfill);
  if (!opened && !may_pass(opened.error())) return give_up(*backfill, opened.error());
  backfills_.push_back(std::move(backfill));
  if (!opened) postpone(*backfills_.back(), opened.error());
}

/// A feed for each topic that is read, at the first record or where the sink's files end.
Status Core::open_feeds(Backfill& backfill) {
  auto& pipeline = backfill.pipeline;
  auto catalog = deps_.catalog.snapshot();
  std::map<ObjectId, std::string> positions;
  std::set<ObjectId> sources;
  for (const auto& sink : pipeline.sinks) {
    if (!sink->feed_position.empty()) positions[sink->from()] = sink->feed_position;
    sources.insert(sink->from());
  }
  for (const auto& view : pipeline.views) {
    for (const auto* source : view->sources()) sources.insert(source->object());
  }
  for (ObjectId id : sources) {
    auto object = catalog->find(id);
    if (object == nullptr || object->kind() != catalog::Kind::topic) continue;
    auto feed = TRY(TopicFeed::create(*object, deps_.log, feed_options()));
    const auto position = positions.find(id);
    const bool goes_on = position != positions.end();
    if (goes_on) {
      ByteReader in(as_bytes(position->second));
      TRY(feed->load(in));
      feed->set_definition(*object);
    } else {
      TRY(feed->seek_to_start());
    }
    for (int32_t p = 0; p < feed->partitions(); ++p) {
      PartitionId partition{id, p};
      backfill.holds.partitions.insert(partition);
      Offset kept = deps_.log.hold(partition, holder_of(backfill.holds), feed->position(p));
      if (!goes_on) feed->seek(p, kept);  // Retention was quicker.
    }
    ByteWriter start;
    feed->save(start);
    for (const auto& sink : pipeline.sinks) {
      if (sink->from() == id && sink->feed_position.empty()) {
        sink->feed_position = as_text(start.view());
      }
    }
    auto& kept = pipeline.feeds[id] = std::move(feed);
    TRY(check_kept(*kept, object->name));
  }
  pipeline.set_wants_blobs();
  return {};
}

Status Core::open_tables(const Backfill& backfill) {
  for (const auto& sink : backfill.pipeline.sinks) TRY(sink->open_table());
  return {};
}

/// Whether the log still has what a feed goes on with.
Status Core::check_kept(const TopicFeed& feed, const std::string& name) const {
  for (int32_t p = 0; p < feed.partitions(); ++p) {
    auto info = TRY(deps_.log.info({feed.topic(), p}));
    if (feed.position(p) >= info.log_start) continue;
    return Error(Code::corrupt,
                 "data_lost: records {} to {} of topic \"{}\"/{} were deleted unread",
                 feed.position(p), info.log_start, name, p)
        .with_hint("DROP it; a new one begins with the records that are left");
  }
  return {};
}

Result<bool> Core::advance_backfills() {
  bool progress = advance_sinks();
  for (size_t i = 0; i < backfills_.size();) {
    auto& backfill = *backfills_[i];
    if (!ready(backfill)) {
      ++i;
      continue;
    }
    auto joined = advance(backfill);
    if (!joined && reads_gone(backfill, joined.error())) {
      ++i;  // The change that takes it away is on its way.
      continue;
    }
    if (!joined && may_pass(joined.error())) {
      postpone(backfill, joined.error());
      ++i;
      continue;
    }
    if (joined && !*joined) {
      progress = progress || !waits_for_others(backfill);
      ++i;
      continue;
    }
    progress = true;
    if (joined) {
      for (const auto& view : backfill.pipeline.views) backfill.holds.readers.insert(view->id());
      for (const auto& sink : backfill.pipeline.sinks) backfill.holds.readers.insert(sink->id());
      joined_.push_back(std::move(backfill.holds));
    } else {
      give_up(backfill, joined.error());
    }
    backfills_.erase(backfills_.begin() + static_cast<ptrdiff_t>(i));
  }
  return progress;
}

bool Core::reads_gone(const Backfill& backfill, const Error& error) const {
  return std::ranges::any_of(backfill.pipeline.feeds,
                             [&](const auto& feed) { return is_gone(feed.first, error); });
}

/// The records or the table cannot be read, and never will.
void Core::give_up(Backfill& backfill, const Error& error) {
  for (const auto& view : backfill.pipeline.views) {
    backfill.pipeline.fail(*view, error);
    view->release();
  }
  for (const auto& sink : backfill.pipeline.sinks) backfill.pipeline.fail(*sink, error);
  let_go(backfill.holds);
  dirty_ = true;
}

/// An error that may pass: all is read again in a while, and until then the records are held.
void Core::postpone(Backfill& backfill, const Error& error) {
  for (const auto& sink : backfill.pipeline.sinks) {
    backfill.tries = std::max(backfill.tries, sink->tries);
  }
  int64_t wait_ns = retry_wait_ns(backfill.tries++);
  backfill.retry_at_ns = deps_.clock.monotonic_ns() + wait_ns;
  auto text = fmt::format("{}; it begins again every {} s, and the log keeps its records",
                          error.to_string(), wait_ns / 1'000'000'000);
  log_warn("stream", "a backfill has stopped and will begin again", "error={}", text);
  for (const auto& view : backfill.pipeline.views) {
    view->release();
    view->error = text;
  }
  for (const auto& sink : backfill.pipeline.sinks) {
    sink->restart();
    sink->error = text;
    sink->tries = backfill.tries;
  }
}

/// Whether a backfill can go on now.
bool Core::ready(Backfill& backfill) {
  if (!backfill.retry_at_ns) return true;
  if (deps_.clock.monotonic_ns() < *backfill.retry_at_ns) return false;
  // It would only fill the disk again.
  Status can = deps_.store.room();
  if (can) can = open_tables(backfill);
  if (!can) {
    postpone(backfill, can.error());
    return false;
  }
  backfill.retry_at_ns.reset();
  begin_again(backfill);
  return !backfill.retry_at_ns;
}

void Core::begin_again(Backfill& backfill) {
  auto views = std::exchange(backfill.pipeline.views, {});
  auto sinks = std::exchange(backfill.pipeline.sinks, {});
  backfill.tables.clear();
  for (const auto& old : views) {
    remove_later([id = old->id(), this](auto& batch) { View::erase(id, tables_, batch); });
    auto object = deps_.catalog.snapshot()->find(old->id());
    auto view = object == nullptr ? nullptr : make_view(object);  // Null: it is being dropped.
    if (view == nullptr) {
      views_.erase(old->id());
      continue;
    }
    views_[old->id()] = view;
    view->error = old->error;
    backfill.pipeline.add(std::move(view));
  }
  for (const auto& sink : sinks) backfill.pipeline.add(sink);
  // Views that are gone leave feeds, whose holds go when the backfill ends.
  Status opened = open_feeds(backfill);
  if (!opened) postpone(backfill, opened.error());
}

std::optional<int64_t> Core::next_retry_ns() const {
  std::optional<int64_t> next;
  auto at_most = [&](int64_t time) { next = next ? std::min(*next, time) : time; };
  for (const auto& backfill : backfills_) {
    if (backfill->retry_at_ns) at_most(*backfill->retry_at_ns);
  }
  for (const auto& sink : main_.sinks) {
    if (sink->retry_at_ns && !checkpoint_running_) at_most(*sink->retry_at_ns);
  }
  if (!broken_tables_.empty()) at_most(tables_tried_ns_ + kBrokenTableRetryNs);
  return next;
}

void Core::let_go(const BackfillHolds& holds) {
  for (PartitionId id : holds.partitions) deps_.log.hold(id, holder_of(holds), std::nullopt);
}

/// The next entries of a topic, in order, and the entry up to which these are all.
struct Core::Planned {
  std::vector<TopicCut> cuts;
  Epoch until;
};

/// As many entries as hold about `rows_max` records of each partition: a topic may have millions.
Result<Core::Planned> Core::plan_cuts(const TopicFeed& feed, size_t rows_max) const {
  // Records of a long transaction belong to the entry that ends it: perhaps far beyond.
  for (size_t window = rows_max;; window *= 4) {
    auto planned = TRY(plan_window(feed, window));
    if (planned.until < epoch_ && planned.until <= feed.last_entry()) continue;
    time_cuts(feed, planned);
    return planned;
  }
}

Result<Core::Planned> Core::plan_window(const TopicFeed& feed, size_t rows_max) const {
  Planned planned{.cuts = {}, .until = epoch_};
  for (int32_t p = 0; p < feed.partitions(); ++p) {
    PartitionId id{feed.topic(), p};
    Offset end = TRY(deps_.log.stable_end_at(id, epoch_));
    Offset from = feed.position(p);
    if (end <= from) continue;
    // What ends a transaction lies behind its records, perhaps behind those of one that is open.
    const Offset last = TRY(deps_.log.end_at(id, epoch_));
    auto left = static_cast<size_t>(last.value - from.value);
    Offset to(from.value + static_cast<int64_t>(std::min(left, rows_max)));
    auto points = TRY(deps_.log.entries_between(id, from, to));
    for (const auto& point : points) {
      EntryNumber entry = std::min(point.entry, epoch_);
      if (entry <= feed.last_entry()) continue;
      Offset stable = std::min({point.end, end, TRY(deps_.log.stable_end_at(id, entry))});
      planned.cuts.push_back({.entry = entry, .time = {}, .partition = p, .end = stable});
    }
    if (points.back().end < last) planned.until = std::min(planned.until, points.back().entry);
  }
  std::erase_if(planned.cuts, [&](const TopicCut& cut) { return cut.entry > planned.until; });
  std::sort(planned.cuts.begin(), planned.cuts.end(), [](const TopicCut& a, const TopicCut& b) {
    return std::tie(a.entry, a.partition, a.end) < std::tie(b.entry, b.partition, b.end);
  });
  return planned;
}

/// The times of entries that the journal still knows; others are older than those.
void Core::time_cuts(const TopicFeed& feed, Planned& planned) const {
  if (!feed.has_watermark() || options_.watermark_max_ahead_ms <= 0 || planned.cuts.empty()) return;
  const EntryNumber forgotten(deps_.journal.first().value - 1);
  auto first = deps_.journal.read(forgotten, 1);
  TimestampMs oldest = first && !first->empty() ? first->front().time : deps_.clock.now();
  std::map<uint64_t, TimestampMs> times;
  EntryNumber after = std::max(forgotten, EntryNumber(planned.cuts.front().entry.value - 1));
  while (after < planned.cuts.back().entry) {
    auto entries = deps_.journal.read(after, 10'000);
    if (!entries || entries->empty()) break;
    for (const auto& entry : *entries) times[entry.number.value] = entry.time;
    after = entries->back().number;
  }
  for (auto& cut : planned.cuts) {
    auto time = times.find(cut.entry.value);
    cut.time = time == times.end() ? oldest : time->second;
  }
}

/// Reads whole entries, about `rows_max` records or Options::step_bytes. Returns how many records.
Result<size_t> Core::read_slice(Backfill& backfill, TopicFeed& feed, size_t rows_max) {
  rows_max = std::min(rows_max, std::max<size_t>(1, options_.step_bytes / feed.record_bytes()));
  const auto planned = TRY(plan_cuts(feed, rows_max));
  const auto& cuts = planned.cuts;
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
  Epoch last = count == cuts.size() ? planned.until : cuts[count - 1].entry;
  std::vector<IdleEvent> idles;
  for (const auto& idle : idle_history_[feed.topic()]) {
    if (idle.entry > feed.last_entry() && idle.entry <= last) idles.push_back(idle);
  }
  TRY(backfill.pipeline.read(feed, std::span(cuts).first(count), idles,
                             [this](DeadLetter letter) { add_dead_letter(std::move(letter)); }));
  feed.set_last_entry(last);
  return rows;
}

Status Core::read_backfill_tables(Backfill& backfill) {
  for (const auto& [id, table] : lake_tables_) {
    if (!backfill.pipeline.reads(id)) continue;
    auto& version = backfill.tables.try_emplace(id, -1).first->second;
    if (version >= table.snapshot->version()) continue;
    auto changes = table.table->changes(version, table.snapshot->version());
    if (!changes && may_pass(changes.error())) return std::move(changes).error();
    if (!changes) {
      backfill.pipeline.fail_readers(id, lost(std::move(changes).error()));
      continue;
    }
    for (auto& change : *changes) TRY(backfill.pipeline.push(id, *change.rows, change.weight));
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
    dirty_ = TRY(backfill.pipeline.finish(epoch_)) || dirty_;
    TRY(spill(backfill));
    return backfill.pipeline.views.empty() && backfill.pipeline.sinks.empty();
  }
  TRY(join(backfill));
  return true;
}

/// Rows of a long backfill go to the store at once. Should the process die, no position says that
/// they are a view, and the next start removes them.
Status Core::spill(Backfill& backfill) {
  if (checkpoint_running_) return {};
  for (const auto& view : backfill.pipeline.views) {
    for (RowTable* table : view->tables()) {
      if (table->memory_bytes() < options_.spill_bytes) continue;
      TRY(remove_now());  // What an earlier try left under the same keys.
      auto base = table->base();
      auto frozen = table->freeze();
      if (frozen == nullptr) continue;
      state::WriteBatch batch;
      TRY(RowTable::write(base, *frozen, batch));
      TRY(deps_.store.write(batch, false));
      table->thaw(deps_.store.snapshot());
    }
  }
  return {};
}

/// From now on the main hold covers what a sink has not written.
Status Core::hold_for_sink(const TopicFeed& feed) {
  for (int32_t p = 0; p < feed.partitions(); ++p) {
    PartitionId id{feed.topic(), p};
    auto at = held_.find(id);
    Offset held = at == held_.end() ? feed.position(p) : at->second;
    hold_records(id, TRY(needed_from(feed.topic(), p, held)));
  }
  return {};
}

/// Everything of the private pipeline has reached the main epoch: it becomes part of the main one.
Status Core::join(Backfill& backfill) {
  auto& from = backfill.pipeline;
  auto catalog = deps_.catalog.snapshot();
  for (const auto& view : from.views) {
    for (const auto* source : view->sources()) {
      Status there = check_source(source->object(), *catalog);
      if (!there && view->state != View::State::failed) from.fail(*view, there.error());
    }
    std::set<ObjectId> done;
    for (const auto* source : view->sources()) {
      auto* read = main_.view(source->object());
      if (read == nullptr || !done.insert(read->id()).second) continue;
      auto scan = read->contents().version()->scan();
      TRY(from.push(read->id(), *scan, 1, view.get()));
    }
  }
  for (const auto& sink : from.sinks) {
    Status there = check_source(sink->from(), *catalog);
    if (!there) from.fail(*sink, there.error());
    auto* read = main_.view(sink->from());
    if (read == nullptr || !there) continue;
    TRY(from.guard(*sink, sink->write_all(*read->contents().version()->scan())));
  }
  TRY(from.finish(epoch_));
  for (auto& [topic, feed] : from.feeds) {
    if (main_.feeds.contains(topic)) continue;
    for (int32_t p = 0; p < feed->partitions(); ++p) {
      PartitionId id{topic, p};
      last_active_ns_[id] = deps_.clock.monotonic_ns();
      hold_records(id, feed->position(p));
      unstable_.insert(id);  // Looked at in the next step.
    }
    main_.feeds[topic] = std::move(feed);
  }
  for (const auto& view : from.views) {
    view->state = View::State::running;
    view->error.clear();
    main_.add(view);
  }
  for (const auto& sink : from.sinks) {
    sink->state = Sink::State::running;
    sink->error.clear();
    main_.add(sink);
    if (auto* feed = main_.feed(sink->from())) TRY(hold_for_sink(*feed));
  }
  sort_views();
  drop_unused_feeds();  // Those that came with a view that has failed.
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
