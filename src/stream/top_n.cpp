#include "stream/top_n.h"

namespace ziwa::stream {
namespace {

constexpr size_t kRowOverheadBytes = 96;

}  // namespace

Status TopN::consume(size_t, Delta& delta) {
  Delta rows = TRY(rows_->evaluate(delta));
  if (rows.size() == 0) return {};
  const bool one = rows_->node().partition_by.empty();
  rows_->encode_partitions(partition_keys_);
  rows_->encode_rows(rows, row_keys_);
  for (size_t row = 0; row < rows.size(); ++row) {
    auto at = TRY(partition_of(one ? std::string_view() : partition_keys_[row]));
    Partition& partition = at->second;
    if (!partition.touched) {
      partition.touched = true;
      touched_.push_back(at);
      if (!partition.shown_known) {
        partition.shown = first_rows(partition);
        partition.shown_known = true;
      }
    }
    if (!partition.listed) {
      partition.listed = true;
      unsaved_.push_back(at);
    }
    key_.clear();
    rows_->append_order(row, key_);
    auto order_bytes = static_cast<uint32_t>(key_.size());
    key_.append(row_keys_[row]);
    add(partition, key_, order_bytes, rows.weight(row));
  }
  return {};
}

Result<TopN::Partitions::iterator> TopN::partition_of(std::string_view name) {
  auto at = partitions_.find(name);
  if (at != partitions_.end()) return at;
  TRY(closing_.watch(name));
  return partitions_.emplace(name, Partition()).first;
}

void TopN::add(Partition& partition, std::string_view key, uint32_t order_bytes, Weight weight) {
  auto at = partition.rows.lower_bound(key);
  if (at == partition.rows.end() || at->first != key) {
    at = partition.rows.emplace_hint(at, key, Entry{.weight = 0, .order_bytes = order_bytes});
    bytes_ += key.size() + kRowOverheadBytes;
  }
  at->second.weight += weight;
  partition.unsaved.emplace(key);
}

std::vector<std::string> TopN::first_rows(const Partition& partition) const {
  std::vector<std::string> first;
  const auto& node = rows_->node();
  uint64_t skip = node.offset;
  for (const auto& [key, entry] : partition.rows) {
    for (Weight i = 0; i < entry.weight && first.size() < node.limit; ++i) {
      if (skip > 0) {
        --skip;
        continue;
      }
      first.push_back(key.substr(entry.order_bytes));
    }
    if (first.size() >= node.limit) break;
  }
  return first;
}

Status TopN::finish() {
  for (auto at : touched_) {
    Partition& partition = at->second;
    partition.touched = false;
    auto now = first_rows(partition);
    if (now == partition.shown) continue;
    if (rows_->node().with_rank) {
      for (size_t i = 0; i < std::max(now.size(), partition.shown.size()); ++i) {
        bool same = i < now.size() && i < partition.shown.size() && now[i] == partition.shown[i];
        if (same) continue;
        if (i < partition.shown.size()) TRY(show(partition.shown[i], i, -1));
        if (i < now.size()) TRY(show(now[i], i, 1));
      }
    } else {
      std::map<std::string_view, Weight> net;
      for (const auto& row : partition.shown) --net[row];
      for (const auto& row : now) ++net[row];
      for (const auto& [row, weight] : net) {
        if (weight != 0) TRY(show(row, 0, weight));
      }
    }
    partition.shown = std::move(now);
  }
  touched_.clear();
  return emit_all(rows_->output(), rows_->weights());
}

Status TopN::show(std::string_view row_key, size_t rank, Weight weight) {
  TRY(rows_->add_output(row_key, rank, weight));
  return rows_->output_full() ? emit_all(rows_->output(), rows_->weights()) : Status();
}

Status TopN::save(StateWriter& writer) {
  for (auto at : unsaved_) {
    Partition& partition = at->second;
    for (const auto& key : partition.unsaved) {
      auto row = partition.rows.find(key);
      if (row->second.weight == 0) {
        if (row->second.stored) TopNRows::remove(writer, at->first, key);
        bytes_ -= key.size() + kRowOverheadBytes;
        partition.rows.erase(row);
        continue;
      }
      TopNRows::put(writer, {.partition = at->first,
                             .key = key,
                             .weight = row->second.weight,
                             .order_bytes = row->second.order_bytes});
      row->second.stored = true;
    }
    partition.unsaved.clear();
    partition.listed = false;
    if (partition.rows.empty() && partition.shown.empty()) partitions_.erase(at);
  }
  unsaved_.clear();
  let_go(writer);
  return {};
}

/// Partitions that are final.
void TopN::let_go(StateWriter& writer) {
  while (auto name = closing_.next()) {
    auto at = partitions_.find(*name);
    if (at == partitions_.end()) continue;
    for (const auto& [key, entry] : at->second.rows) {
      bytes_ -= key.size() + kRowOverheadBytes;
      if (entry.stored) TopNRows::remove(writer, at->first, key);
    }
    partitions_.erase(at);
  }
}

Status TopN::load(char tag, std::string_view key, std::string_view value) {
  const auto row = TRY(TopNRows::read(tag, key, value));
  auto at = TRY(partition_of(row.partition));
  at->second.rows.emplace(
      row.key, Entry{.weight = row.weight, .order_bytes = row.order_bytes, .stored = true});
  bytes_ += row.key.size() + kRowOverheadBytes;
  return {};
}

}  // namespace ziwa::stream
