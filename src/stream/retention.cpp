#include "stream/core.h"
#include "stream/positions.h"

namespace ziwa::stream {
/// Records before `start` were deleted: their dead letters go, and the idle marks that no reader
/// can need any more.
Status Core::forget_before(PartitionId id, Offset start, EntryNumber at) {
  TRY(forget_dead_letters(id, start));
  auto history = idle_history_.find(id.topic);
  if (history == idle_history_.end()) return {};
  auto info = deps_.log.info(id);
  EntryNumber first = at;
  if (info && info->log_start < info->high_watermark) {
    auto entry = deps_.log.entry_of(id, info->log_start);
    if (!entry) return {};  // Deleted meanwhile: the next entry about it tells.
    first = *entry;
  }
  forget_idle_marks(history->first, history->second, id.partition, first);
  return {};
}

/// Keeps the last mark before `first`: the partition may be idle when reading begins.
void Core::forget_idle_marks(ObjectId topic, std::vector<IdleEvent>& history, int32_t partition,
                             EntryNumber first) {
  const IdleEvent* last = nullptr;
  for (const auto& event : history) {
    if (event.partition == partition && event.entry < first) last = &event;
  }
  if (last == nullptr) return;
  const EntryNumber kept = last->entry;
  auto old = [&](const IdleEvent& event) {
    return event.partition == partition && event.entry < kept;
  };
  std::vector<std::string> keys;
  for (const auto& event : history) {
    if (old(event)) keys.push_back(idle_key(topic, event.entry, event.partition));
  }
  if (keys.empty()) return;
  std::erase_if(history, old);
  std::erase_if(unsaved_idle_,
                [&](const auto& each) { return each.first == topic && old(each.second); });
  remove_later([keys, table = tables_.positions](state::WriteBatch& batch) {
    for (const auto& key : keys) batch.remove(table, key);
  });
}

}  // namespace ziwa::stream
