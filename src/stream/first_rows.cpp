#include "stream/first_rows.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace ziwa::stream {
namespace {

constexpr size_t kRowOverheadBytes = 56;

}  // namespace

FirstRows::FirstRows(std::unique_ptr<TopNRows> rows)
    : rows_(std::move(rows)),
      wanted_(clamped(rows_->node().limit) + clamped(rows_->node().offset)),
      slice_(rows_->input_types()),
      table_(sizeof(Partition)),
      closing_(rows_->take_closing()) {}

FirstRows::~FirstRows() {
  for (Slot slot = 0; slot < table_.slots_end(); ++slot) {
    if (table_.used(slot)) end_partition(slot);
  }
  for (char* bytes : gone_) delete[] bytes;
}

Status FirstRows::begin_partition(Slot slot) {
  new (table_.payload(slot)) Partition();
  return closing_.watch(slot, table_.key(slot));
}

void FirstRows::end_partition(Slot slot) {
  Partition& ended = partition(slot);
  for (const Entry& entry : ended.rows) {
    bytes_ -= entry.size + kRowOverheadBytes;
    delete[] entry.bytes;
  }
  ended.~Partition();
}

Status FirstRows::consume(size_t, Delta& delta) {
  Delta rows = TRY(rows_->evaluate(delta));
  if (rows.size() == 0 || wanted_ == 0) return {};
  if (rows_->node().partition_by.empty()) {
    auto found = table_.find_or_insert(std::string_view());
    slots_.assign(rows.size(), found.slot);
    inserted_.assign(rows.size(), 0);
    inserted_[0] = found.inserted ? 1 : 0;
  } else {
    rows_->encode_partitions(partition_keys_);
    table_.find_or_insert(partition_keys_, slots_, inserted_);
  }
  // Those that come behind the last row of a full partition never count.
  size_t count = 0;
  for (size_t row = 0; row < rows.size(); ++row) {
    if (inserted_[row] != 0) TRY(begin_partition(slots_[row]));
    const Partition& of = partition(slots_[row]);
    if (is_full(of)) {
      key_.clear();
      rows_->append_order(row, key_);
      if (key_ > of.rows.back().order()) continue;
    }
    candidates_.set_index(count++, row);
  }
  if (count == 0) return {};
  rows_->encode_rows(slice_.take(rows, candidates_, count), row_keys_);
  for (size_t i = 0; i < count; ++i) {
    const size_t row = candidates_.get_index(i);
    key_.clear();
    rows_->append_order(row, key_);
    const auto order_bytes = static_cast<uint32_t>(key_.size());
    key_.append(row_keys_[i]);
    add(slots_[row], order_bytes, rows.weight(row));
  }
  return {};
}

FirstRows::Entry FirstRows::make_entry(std::string_view key, uint32_t order_bytes) {
  Entry entry{.bytes = new char[key.size()],
              .size = static_cast<uint32_t>(key.size()),
              .order_bytes = order_bytes};
  std::memcpy(entry.bytes, key.data(), key.size());
  bytes_ += entry.size + kRowOverheadBytes;
  return entry;
}

/// Takes the row of key_ in, if it counts.
void FirstRows::add(Slot slot, uint32_t order_bytes, Weight weight) {
  Partition& to = partition(slot);
  if (is_full(to) && key_ >= to.rows.back().key()) return;
  if (!to.touched) {
    to.touched = true;
    if (touched_.size() == before_.size()) before_.emplace_back();
    find_shown(to, before_[touched_.size()]);
    touched_.push_back(slot);
  }
  if (!std::exchange(to.listed, true)) unsaved_.push_back(slot);
  auto at = std::ranges::lower_bound(to.rows, std::string_view(key_), {}, &Entry::key);
  if (at == to.rows.end() || at->key() != key_) {
    at = to.rows.insert(at, make_entry(key_, order_bytes));
  }
  at->weight += weight;
  at->unsaved = true;
  to.total += weight;
  evict(slot);
}

/// Rows that do not count any more never will again.
void FirstRows::evict(Slot slot) {
  Partition& from = partition(slot);
  while (from.total > wanted_) {
    Entry& last = from.rows.back();
    const Weight excess = from.total - wanted_;
    if (last.weight > excess) {
      last.weight -= excess;
      last.unsaved = true;
      from.total = wanted_;
      return;
    }
    from.total -= last.weight;
    if (last.stored) removed_.emplace_back(table_.key(slot), last.key());
    bytes_ -= last.size + kRowOverheadBytes;
    gone_.push_back(last.bytes);
    from.rows.pop_back();
  }
}

void FirstRows::find_shown(const Partition& of, ShownRows& out) const {
  out.clear();
  Weight skip = clamped(rows_->node().offset);
  Weight left = clamped(rows_->node().limit);
  for (const Entry& entry : of.rows) {
    const Weight skipped = std::min(skip, entry.weight);
    skip -= skipped;
    const Weight weight = std::min(left, entry.weight - skipped);
    left -= weight;
    if (weight > 0)
      out.push_back({.key = entry.key(), .order_bytes = entry.order_bytes, .weight = weight});
  }
}

Status FirstRows::finish() {
  for (size_t i = 0; i < touched_.size(); ++i) {
    Partition& changed = partition(touched_[i]);
    changed.touched = false;
    find_shown(changed, after_);
    TRY(rows_->node().with_rank ? show_ranks(before_[i], after_)
                                : show_changes(before_[i], after_));
  }
  touched_.clear();
  for (char* bytes : gone_) delete[] bytes;
  gone_.clear();
  return emit_all(rows_->output(), rows_->weights());
}

Status FirstRows::show_changes(const ShownRows& before, const ShownRows& after) {
  auto was = before.begin();
  auto is = after.begin();
  while (was != before.end() || is != after.end()) {
    const bool only_was = is == after.end() || (was != before.end() && was->key < is->key);
    if (only_was) {
      TRY(show(*was, 0, -was->weight));
      ++was;
    } else if (was == before.end() || is->key < was->key) {
      TRY(show(*is, 0, is->weight));
      ++is;
    } else {
      if (was->weight != is->weight) TRY(show(*is, 0, is->weight - was->weight));
      ++was;
      ++is;
    }
  }
  return {};
}

/// Row by row: each has a rank of its own.
Status FirstRows::show_ranks(const ShownRows& before, const ShownRows& after) {
  auto was = before.begin();
  auto is = after.begin();
  Weight of_was = 0;  // Of the row at `was`, passed.
  Weight of_is = 0;
  for (size_t rank = 0; was != before.end() || is != after.end(); ++rank) {
    const bool same = was != before.end() && is != after.end() && was->key == is->key;
    if (was != before.end()) {
      if (!same) TRY(show(*was, rank, -1));
      if (++of_was == was->weight) {
        ++was;
        of_was = 0;
      }
    }
    if (is != after.end()) {
      if (!same) TRY(show(*is, rank, 1));
      if (++of_is == is->weight) {
        ++is;
        of_is = 0;
      }
    }
  }
  return {};
}

Status FirstRows::show(const Shown& row, size_t rank, Weight weight) {
  TRY(rows_->add_output(row.key.substr(row.order_bytes), rank, weight));
  return rows_->output_full() ? emit_all(rows_->output(), rows_->weights()) : Status();
}

Status FirstRows::save(StateWriter& writer) {
  for (const auto& [name, key] : removed_) TopNRows::remove(writer, name, key);
  removed_.clear();
  for (Slot slot : unsaved_) {
    Partition& changed = partition(slot);
    changed.listed = false;
    for (Entry& entry : changed.rows) {
      if (!std::exchange(entry.unsaved, false)) continue;
      TopNRows::put(writer, {.partition = table_.key(slot),
                             .key = entry.key(),
                             .weight = entry.weight,
                             .order_bytes = entry.order_bytes});
      entry.stored = true;
    }
  }
  unsaved_.clear();
  return let_go(writer);
}

/// Partitions that are final.
Status FirstRows::let_go(StateWriter& writer) {
  while (auto slot = TRY(closing_.next(table_))) {
    for (const Entry& entry : partition(*slot).rows) {
      if (entry.stored) TopNRows::remove(writer, table_.key(*slot), entry.key());
    }
    end_partition(*slot);
    table_.erase(*slot);
  }
  return {};
}

Status FirstRows::load(char tag, std::string_view key, std::string_view value) {
  const auto row = TRY(TopNRows::read(tag, key, value));
  auto found = table_.find_or_insert(row.partition);
  if (found.inserted) TRY(begin_partition(found.slot));
  Partition& to = partition(found.slot);
  Entry entry = make_entry(row.key, row.order_bytes);
  entry.weight = row.weight;
  entry.stored = true;
  to.total += entry.weight;
  to.rows.insert(std::ranges::lower_bound(to.rows, row.key, {}, &Entry::key), entry);
  return {};
}

size_t FirstRows::state_bytes() const { return table_.bytes() + bytes_ + closing_.bytes(); }

}  // namespace ziwa::stream
