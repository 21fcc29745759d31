#include "base/log.h"
#include "stream/core.h"
#include "stream/positions.h"

#include <algorithm>

// What is written so that a start goes on from here.
namespace ziwa::stream {

Status Core::save_views(Checkpoint& checkpoint) {
  auto& batch = checkpoint.batch;
  auto freeze = [&](const std::shared_ptr<View>& view, RowTable& table) {
    checkpoint.frozen.push_back({view, &table, table.base(), table.freeze()});
  };
  for (const auto& [id, view] : views_) {
    // It stays failed; its rows stay as they were at its last checkpoint until it is dropped.
    if (view->state == View::State::failed) {
      batch.put(tables_.positions, key_of(kViewPrefix, id), view->meta());
    }
    if (view->state != View::State::running) continue;
    TRY(view->save_state(batch));
    view->epoch = epoch_;
    batch.put(tables_.positions, key_of(kViewPrefix, id), view->meta());
    for (RowTable* table : view->tables()) freeze(view, *table);
  }
  freeze(nullptr, *dead_letters_);
  return {};
}

Status Core::save_feeds(Checkpoint& checkpoint) {
  auto& batch = checkpoint.batch;
  for (const auto& [topic, feed] : main_.feeds) {
    ByteWriter out;
    feed->save(out);
    batch.put(tables_.positions, key_of(kFeedPrefix, topic), as_text(out.view()));
    // A sink whose records gave no rows has nothing to read again.
    for (const auto& sink : main_.sinks) {
      bool done = sink->state != Sink::State::failed && !sink->has_rows() && !sink->pending() &&
                  !sink->stalled;
      if (sink->from() == topic && done) sink->feed_position = as_text(out.view());
    }
    for (int32_t p = 0; p < feed->partitions(); ++p) {
      checkpoint.positions.emplace_back(PartitionId{topic, p},
                                        TRY(needed_from(topic, p, feed->position(p))));
    }
  }
  for (const auto& [id, table] : lake_tables_) {
    ByteWriter out;
    out.svarint(table.snapshot->version());
    batch.put(tables_.positions, key_of(kTablePrefix, id), as_text(out.view()));
    checkpoint.tables[id] = table.snapshot->version();
  }
  for (const auto& [topic, event] : unsaved_idle_) {
    batch.put(tables_.positions, idle_key(topic, event.entry, event.partition), "");
  }
  unsaved_idle_.clear();
  return {};
}

Status Core::save_sinks(Checkpoint& checkpoint) {
  for (const auto& [id, sink] : sinks_) {
    // What a view's sink has taken is not whole yet: a restart gives it all rows again.
    if (sink->of_view && sink->state == Sink::State::backfilling) continue;
    TRY(sink->save_to(checkpoint.batch, epoch_));
    if (!sink->pending() || !sink->has_table()) continue;
    checkpoint.commits.push_back({sink, *sink->pending(), std::nullopt});
  }
  return {};
}

void Core::save_main(state::WriteBatch& batch) {
  ByteWriter main;
  main.varint(kStateFormat);
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
}

void Core::remove_later(std::function<void(state::WriteBatch&)> removal) {
  removals_.push_back(std::move(removal));
  dirty_ = true;
}

Status Core::remove_now() {
  if (removals_.empty()) return {};
  state::WriteBatch batch;
  for (const auto& removal : removals_) removal(batch);
  TRY(deps_.store.write(batch, false));
  removals_.clear();
  return {};
}

Result<std::unique_ptr<Checkpoint>> Core::begin_checkpoint() {
  CHECK(!checkpoint_running_, "a checkpoint begins while another is written");
  auto checkpoint = std::make_unique<Checkpoint>();
  checkpoint->epoch = epoch_;
  checkpoint->begun_ns = deps_.clock.monotonic_ns();
  // If it fails, the core that is opened then finds out again what is to be removed.
  for (const auto& removal : removals_) removal(checkpoint->batch);
  removals_.clear();
  TRY(save_views(*checkpoint));
  TRY(save_feeds(*checkpoint));
  TRY(save_sinks(*checkpoint));
  save_main(checkpoint->batch);
  joined_saved_ = joined_.size();
  checkpoint->has_new_views = joined_saved_ > 0;
  checkpoint_running_ = true;
  dirty_ = false;
  return checkpoint;
}

void Core::hold_records(PartitionId id, std::optional<Offset> from) {
  deps_.log.hold(id, "stream", from);
  if (from) {
    held_[id] = *from;
  } else {
    held_.erase(id);
  }
}

/// After a restart a sink reads again what is in no finished file.
Result<Offset> Core::needed_from(ObjectId topic, int32_t partition, Offset position) const {
  for (const auto& sink : main_.sinks) {
    if (sink->from() != topic || sink->feed_position.empty()) continue;
    if (sink->state == Sink::State::failed) continue;  // Nobody waits for what it has not written.
    auto saved = TRY(TopicFeed::saved_positions(sink->feed_position));
    auto index = static_cast<size_t>(partition);
    position = std::min(position, index < saved.size() ? saved[index] : Offset());
  }
  return position;
}

Status Core::add_rows(Checkpoint& checkpoint) {
  for (const auto& frozen : checkpoint.frozen) {
    if (frozen.batch == nullptr) continue;
    TRY(RowTable::write(frozen.base, *frozen.batch, checkpoint.batch));
  }
  checkpoint.whole = true;
  return {};
}

void Core::write_checkpoint(Checkpoint& checkpoint) {
  checkpoint.found_no_room = false;
  checkpoint.outcome = [&]() -> Status {
    // With log.flush = interval or os a power cut could take back records, and leave what they did.
    TRY(deps_.journal.sync_through(checkpoint.epoch));
    if (!checkpoint.whole) TRY(add_rows(checkpoint));
    Status written = deps_.store.write(checkpoint.batch, true);
    checkpoint.found_no_room = !written && written.error().cause() == Cause::disk_full;
    return written;
  }();
  if (!checkpoint.outcome) return;
  // From now on a store that knows nothing of the new views has lost them.
  if (checkpoint.has_new_views && deps_.witness) deps_.witness();
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
  for (const auto& frozen : checkpoint.frozen) {
    bool failed = frozen.view != nullptr && frozen.view->state == View::State::failed;
    frozen.table->thaw(failed ? nullptr : snapshot_);
  }
  checkpoint_epoch_ = checkpoint.epoch;
  const auto saved = joined_.begin() + static_cast<ptrdiff_t>(joined_saved_);
  std::for_each(joined_.begin(), saved, [&](const auto& holds) { let_go(holds); });
  joined_.erase(joined_.begin(), saved);
  // A table that is not open keeps the version that it had.
  for (const auto& [table, version] : checkpoint.tables) saved_tables_[table] = version;
  for (const auto& [partition, offset] : checkpoint.positions) {
    // Meanwhile its feed may have gone, or a sink have come that needs more.
    if (!main_.feeds.contains(partition.topic)) continue;
    hold_records(partition, TRY(needed_from(partition.topic, partition.partition, offset)));
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
    settle(sink);
    dirty_ = true;  // The next checkpoint forgets the files.
    deps_.journal.submit(journal::DeltaVersion{sink.into(), sink.version}, {},
                         [](Result<EntryNumber> entered) {
                           entered.ignore("announce_tables() enters it after a restart");
                         });
  }
  publish();
  return {};
}

std::map<ObjectId, lake::Needs> Core::table_needs() const {
  std::map<ObjectId, lake::Needs> needs;
  for (const auto& [id, table] : lake_tables_) {
    auto saved = saved_tables_.find(id);
    int64_t version = table.snapshot->version();
    if (saved != saved_tables_.end()) version = std::min(version, saved->second);
    for (const auto& backfill : backfills_) {
      auto read = backfill->tables.find(id);
      if (read != backfill->tables.end() && read->second >= 0)
        version = std::min(version, read->second);
    }
    needs[id].version = version;
  }
  for (const auto& object : deps_.catalog.snapshot()->all()) {
    if (object->kind() != catalog::Kind::sink) continue;
    auto table = needs.find(object->sink().into);
    if (table == needs.end()) continue;
    auto sink = sinks_.find(object->id);
    if (sink != sinks_.end() && sink->second->pending()) {
      for (const auto& file : sink->second->pending()->files)
        if (table->second.files) table->second.files->insert(file.path);
    } else if (sink == sinks_.end() || sink->second->state == Sink::State::failed) {
      // Its pending files are in a checkpoint, not in memory, or could not be read.
      table->second.files.reset();
    }
  }
  return needs;
}

}  // namespace ziwa::stream
