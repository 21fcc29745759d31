#include "stream/first_rows.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace ziwa::stream {
namespace {

constexpr char kRowTag = 'r';
constexpr size_t kRowOverheadBytes = 56;

}  // namespace

Result<std::unique_ptr<FirstRows>> FirstRows::create(StageContext& context, uint32_t node_id,
                                                     const TopNNode& node,
                                                     const std::vector<PlanColumn>& input,
                                                     const std::vector<PlanColumn>& output,
                                                     const std::optional<BoundColumn>& closing) {
  std::vector<Expression> expressions = node.partition_by;
  for (const auto& order : node.order) expressions.push_back(order.expression);
  auto evaluator = TRY(Evaluator::compile(context, node_id, input, expressions));
  duckdb::vector<duckdb::LogicalType> partition_types(
      evaluator->types().begin(),
      evaluator->types().begin() + static_cast<ptrdiff_t>(node.partition_by.size()));
  auto input_types = TRY(parse_types(input));
  auto output_types = TRY(parse_types(output));
  if (output_types.size() != input_types.size() + (node.with_rank ? 1 : 0) ||
      (node.with_rank && output_types.back() != duckdb::LogicalType::BIGINT)) {
    return Error(Code::invalid_argument, "a top-n has the wrong output columns");
  }
  std::unique_ptr<FirstRows> first(new FirstRows(
      node, TRY(data::RowKeyEncoder::create(partition_types)),
      TRY(data::RowKeyEncoder::create(input_types)),
      TRY(OrderKey::create(node.order, node.partition_by.size(), evaluator->types()))));
  if (closing) first->closing_ = TRY(ClosingKeys::create(context, *closing, partition_types));
  first->evaluator_ = std::move(evaluator);
  first->slice_ = std::make_unique<DeltaSlice>(input_types);
  for (size_t i = 0; i < node.partition_by.size(); ++i) first->partition_columns_.push_back(i);
  for (size_t i = 0; i < input.size(); ++i) {
    first->row_columns_.push_back(i);
    first->targets_.push_back(static_cast<data::ColumnTarget>(i));
  }
  first->output_.Initialize(duckdb::Allocator::DefaultAllocator(), output_types);
  return first;
}

FirstRows::~FirstRows() {
  for (Slot slot = 0; slot < table_.slots_end(); ++slot) {
    if (table_.used(slot)) end_partition(slot);
  }
  for (char* bytes : gone_) delete[] bytes;
}

void FirstRows::begin_partition(Slot slot) {
  new (table_.payload(slot)) Partition();
  if (closing_) due_.push(closing_->closes_at(table_.key(slot)), slot);
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
  Delta rows = TRY(evaluator_->run(delta));
  if (rows.size() == 0 || wanted_ == 0) return {};
  auto& computed = evaluator_->output();
  order_key_.encode(computed);
  if (node_.partition_by.empty()) {
    auto found = table_.find_or_insert(std::string_view());
    slots_.assign(rows.size(), found.slot);
    inserted_.assign(rows.size(), 0);
    inserted_[0] = found.inserted ? 1 : 0;
  } else {
    partition_encoder_.encode(computed, partition_columns_, partition_keys_);
    table_.find_or_insert(partition_keys_, slots_, inserted_);
  }
  // Those that come behind the last row of a full partition never count.
  size_t count = 0;
  for (size_t row = 0; row < rows.size(); ++row) {
    if (inserted_[row] != 0) begin_partition(slots_[row]);
    const Partition& of = partition(slots_[row]);
    if (is_full(of)) {
      key_.clear();
      order_key_.append(row, key_);
      if (key_ > of.rows.back().order()) continue;
    }
    candidates_.set_index(count++, row);
  }
  if (count == 0) return {};
  Delta kept = slice_->take(rows, candidates_, count);
  row_encoder_.encode(kept.rows, row_columns_, row_keys_);
  for (size_t i = 0; i < count; ++i) {
    const size_t row = candidates_.get_index(i);
    key_.clear();
    order_key_.append(row, key_);
    const auto order_bytes = static_cast<uint32_t>(key_.size());
    key_.append(row_keys_[i]);
    add(slots_[row], order_bytes, rows.weight(row));
  }
  return {};
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
    Entry entry{.bytes = new char[key_.size()],
                .size = static_cast<uint32_t>(key_.size()),
                .order_bytes = order_bytes};
    std::memcpy(entry.bytes, key_.data(), key_.size());
    bytes_ += entry.size + kRowOverheadBytes;
    at = to.rows.insert(at, entry);
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
    if (last.stored) removed_.push_back(stored_key(slot, last.key()));
    bytes_ -= last.size + kRowOverheadBytes;
    gone_.push_back(last.bytes);
    from.rows.pop_back();
  }
}

void FirstRows::find_shown(const Partition& of, ShownRows& out) const {
  out.clear();
  Weight skip = clamped(node_.offset);
  Weight left = clamped(node_.limit);
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
    TRY(node_.with_rank ? show_ranks(before_[i], after_) : show_changes(before_[i], after_));
  }
  touched_.clear();
  for (char* bytes : gone_) delete[] bytes;
  gone_.clear();
  return emit_all(output_, weights_);
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
  const size_t to = output_.size();
  TRY(row_encoder_.decode_columns(row.key.substr(row.order_bytes), targets_, output_, to));
  if (node_.with_rank) {
    duckdb::FlatVector::GetData<int64_t>(output_.data.back())[to] =
        static_cast<int64_t>(node_.offset + rank + 1);
  }
  weights_.push_back(weight);
  output_.SetCardinality(to + 1);
  return output_.size() == STANDARD_VECTOR_SIZE ? emit_all(output_, weights_) : Status();
}

std::string FirstRows::stored_key(Slot slot, std::string_view key) const {
  ByteWriter head;
  head.sized(table_.key(slot));
  std::string stored(as_text(head.view()));
  return stored.append(key);
}

Status FirstRows::save(StateWriter& writer) {
  for (const auto& key : removed_) writer.remove(kRowTag, key);
  removed_.clear();
  for (Slot slot : unsaved_) {
    Partition& changed = partition(slot);
    changed.listed = false;
    for (Entry& entry : changed.rows) {
      if (!std::exchange(entry.unsaved, false)) continue;
      ByteWriter value;
      value.svarint(entry.weight);
      value.varint(entry.order_bytes);
      writer.put(kRowTag, stored_key(slot, entry.key()), as_text(value.view()));
      entry.stored = true;
    }
  }
  unsaved_.clear();
  let_go(writer);
  return {};
}

/// Partitions that are final.
void FirstRows::let_go(StateWriter& writer) {
  if (!closing_) return;
  const int64_t reached = closing_->reached();
  while (auto due = due_.pop(reached)) {
    // Slots are used again only for partitions that wait here themselves.
    if (!table_.used(due->thing) || closing_->closes_at(table_.key(due->thing)) != due->at_us)
      continue;
    for (const Entry& entry : partition(due->thing).rows) {
      if (entry.stored) writer.remove(kRowTag, stored_key(due->thing, entry.key()));
    }
    end_partition(due->thing);
    table_.erase(due->thing);
  }
}

Status FirstRows::load(char tag, std::string_view key, std::string_view value) {
  if (tag != kRowTag) return Error(Code::corrupt, "a top-n row has the unknown tag {}", int{tag});
  ByteReader head(as_bytes(key));
  auto name = head.sized();
  auto row = key.substr(head.position());
  ByteReader in(as_bytes(value));
  Entry entry{.size = static_cast<uint32_t>(row.size()), .weight = in.svarint(), .stored = true};
  entry.order_bytes = static_cast<uint32_t>(in.varint());
  if (!head.ok() || !in.ok() || entry.order_bytes > row.size()) {
    return Error(Code::corrupt, "a stored top-n row is damaged");
  }
  auto found = table_.find_or_insert(name);
  if (found.inserted) begin_partition(found.slot);
  Partition& to = partition(found.slot);
  entry.bytes = new char[row.size()];
  std::memcpy(entry.bytes, row.data(), row.size());
  bytes_ += entry.size + kRowOverheadBytes;
  to.total += entry.weight;
  to.rows.insert(std::ranges::lower_bound(to.rows, row, {}, &Entry::key), entry);
  return {};
}

size_t FirstRows::state_bytes() const { return table_.bytes() + bytes_ + due_.bytes(); }

}  // namespace ziwa::stream
