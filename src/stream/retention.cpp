#include "stream/core.h"

namespace ziwa::stream {
namespace {

using Bound = data::ScanRequest::Bound;

Bound bound(size_t column, Bound::Op op, duckdb::Value value) {
  return {column, op, std::make_shared<const duckdb::Value>(std::move(value))};
}
Bound of_topic(ObjectId topic) {
  return bound(0, Bound::Op::equal, duckdb::Value::UBIGINT(topic.value));
}

}  // namespace

/// Records before `start` were deleted: their dead letters go, and the idle marks that no reader
/// can need any more.
Status Core::forget_before(PartitionId id, Offset start, EntryNumber at) {
  if (dead_until_.contains(id)) {
    TRY(take_dead_letters({of_topic(id.topic),
                           bound(1, Bound::Op::equal, duckdb::Value::INTEGER(id.partition)),
                           bound(2, Bound::Op::less, duckdb::Value::BIGINT(start.value))}));
  }
  auto history = idle_history_.find(id.topic);
  if (history == idle_history_.end()) return {};
  auto info = deps_.log.info(id);
  EntryNumber first = at;
  if (info && info->log_start < info->high_watermark) {
    auto entry = deps_.log.entry_of(id, info->log_start);
    if (!entry) return {};  // Deleted meanwhile: the next entry about it tells.
    first = *entry;
  }
  return forget_idle_marks(history->first, history->second, id.partition, first);
}

/// Keeps the last mark before `first`: the partition may be idle when reading begins.
Status Core::forget_idle_marks(ObjectId topic, std::vector<IdleEvent>& history, int32_t partition,
                               EntryNumber first) {
  const IdleEvent* last = nullptr;
  for (const auto& event : history) {
    if (event.partition == partition && event.entry < first) last = &event;
  }
  if (last == nullptr) return {};
  const EntryNumber kept = last->entry;
  auto old = [&](const IdleEvent& event) {
    return event.partition == partition && event.entry < kept;
  };
  state::WriteBatch batch;
  for (const auto& event : history) {
    if (old(event)) batch.remove(tables_.positions, idle_key(topic, event));
  }
  if (batch.count() == 0) return {};
  std::erase_if(history, old);
  std::erase_if(unsaved_idle_,
                [&](const auto& each) { return each.first == topic && old(each.second); });
  return deps_.store.write(std::move(batch), false);
}

/// The topic is gone, and its dead letters with it.
Status Core::forget_topic(ObjectId topic) {
  size_t before = dead_until_.size();
  std::erase_if(dead_until_, [&](const auto& each) { return each.first.topic == topic; });
  if (dead_until_.size() == before) return {};
  TRY(take_dead_letters({of_topic(topic)}));
  TRY(dead_letters_->apply(epoch_));
  return {};
}

Status Core::take_dead_letters(std::vector<data::ScanRequest::Bound> bounds) {
  TRY(flush_dead_letters());
  duckdb::DataChunk rows;
  rows.Initialize(duckdb::Allocator::DefaultAllocator(), dead_letters_->layout()->types);
  const std::vector<Weight> gone(STANDARD_VECTOR_SIZE, -1);
  for (auto& stream : TRY(dead_letters_->version()->scan()->open(
           {.columns = {0, 1, 2, 3, 4, 5}, .bounds = std::move(bounds)}, 1))) {
    while (true) {
      TRY(stream->next(rows));
      if (rows.size() == 0) break;
      Delta delta{.rows = rows, .weights = gone.data()};
      TRY(dead_letters_->consume(0, delta));
      dirty_ = true;
    }
  }
  return {};
}

}  // namespace ziwa::stream
