#include "stream/top_n.h"

namespace ziwa::stream {
namespace {

constexpr char kRowTag = 'r';
constexpr size_t kRowOverheadBytes = 96;

}  // namespace

Result<std::unique_ptr<TopN>> TopN::create(StageContext& context, uint32_t node_id,
                                           const TopNNode& node,
                                           const std::vector<PlanColumn>& input,
                                           const std::vector<PlanColumn>& output,
                                           const std::optional<BoundColumn>& closing) {
  std::vector<Expression> expressions = node.partition_by;
  for (const auto& order : node.order) expressions.push_back(order.expression);
  auto evaluator = TRY(Evaluator::compile(context, node_id, input, expressions));
  duckdb::vector<duckdb::LogicalType> partition_types;
  for (size_t i = 0; i < node.partition_by.size(); ++i) {
    partition_types.push_back(evaluator->types()[i]);
  }
  auto input_types = TRY(parse_types(input));
  auto output_types = TRY(parse_types(output));
  if (output_types.size() != input_types.size() + (node.with_rank ? 1 : 0) ||
      (node.with_rank && output_types.back() != duckdb::LogicalType::BIGINT)) {
    return Error(Code::invalid_argument, "a top-n has the wrong output columns");
  }
  auto partition_encoder = TRY(data::RowKeyEncoder::create(partition_types));
  auto row_encoder = TRY(data::RowKeyEncoder::create(input_types));
  auto order_key = TRY(OrderKey::create(node.order, node.partition_by.size(), evaluator->types()));
  std::unique_ptr<TopN> top(
      new TopN(node, std::move(partition_encoder), std::move(row_encoder), std::move(order_key)));
  if (closing) top->closing_ = TRY(ClosingKeys::create(context, *closing, partition_types));
  top->evaluator_ = std::move(evaluator);
  for (size_t i = 0; i < node.partition_by.size(); ++i) top->partition_columns_.push_back(i);
  for (size_t i = 0; i < input.size(); ++i) {
    top->row_columns_.push_back(i);
    top->targets_.push_back(static_cast<data::ColumnTarget>(i));
  }
  top->output_.Initialize(duckdb::Allocator::DefaultAllocator(), output_types);
  return top;
}

Status TopN::consume(size_t, Delta& delta) {
  Delta rows = TRY(evaluator_->run(delta));
  if (rows.size() == 0) return {};
  auto& computed = evaluator_->output();
  partition_encoder_.encode(computed, partition_columns_, partition_keys_);
  row_encoder_.encode(rows.rows, row_columns_, row_keys_);
  order_key_.encode(computed);
  for (size_t row = 0; row < rows.size(); ++row) {
    auto at = partition_of(node_.partition_by.empty() ? std::string_view() : partition_keys_[row]);
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
    order_key_.append(row, key_);
    auto order_bytes = static_cast<uint32_t>(key_.size());
    key_.append(row_keys_[row]);
    add(partition, key_, order_bytes, rows.weight(row));
  }
  return {};
}

TopN::Partitions::iterator TopN::partition_of(std::string_view name) {
  auto at = partitions_.find(name);
  if (at != partitions_.end()) return at;
  if (closing_) due_.push(closing_->closes_at(name), std::string(name));
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
  uint64_t skip = node_.offset;
  for (const auto& [key, entry] : partition.rows) {
    for (Weight i = 0; i < entry.weight && first.size() < node_.limit; ++i) {
      if (skip > 0) {
        --skip;
        continue;
      }
      first.push_back(key.substr(entry.order_bytes));
    }
    if (first.size() >= node_.limit) break;
  }
  return first;
}

Status TopN::finish() {
  for (auto at : touched_) {
    Partition& partition = at->second;
    partition.touched = false;
    auto now = first_rows(partition);
    if (now == partition.shown) continue;
    if (node_.with_rank) {
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
  return emit_all(output_, weights_);
}

Status TopN::show(std::string_view row_key, size_t rank, Weight weight) {
  size_t to = output_.size();
  TRY(row_encoder_.decode_columns(row_key, targets_, output_, to));
  if (node_.with_rank) {
    duckdb::FlatVector::GetData<int64_t>(output_.data.back())[to] =
        static_cast<int64_t>(node_.offset + rank + 1);
  }
  weights_.push_back(weight);
  output_.SetCardinality(to + 1);
  return output_.size() == STANDARD_VECTOR_SIZE ? emit_all(output_, weights_) : Status();
}

// A stored row: varint length of the partition key, partition key, order key and row key
//   -> svarint weight, varint length of the order key.
Status TopN::save(StateWriter& writer) {
  std::string stored_key;
  for (auto at : unsaved_) {
    Partition& partition = at->second;
    for (const auto& key : partition.unsaved) {
      ByteWriter head;
      head.sized(at->first);
      stored_key.assign(as_text(head.view()));
      stored_key += key;
      auto row = partition.rows.find(key);
      if (row == partition.rows.end() || row->second.weight == 0) {
        writer.remove(kRowTag, stored_key);
        if (row != partition.rows.end()) {
          bytes_ -= key.size() + kRowOverheadBytes;
          partition.rows.erase(row);
        }
        continue;
      }
      ByteWriter value;
      value.svarint(row->second.weight);
      value.varint(row->second.order_bytes);
      writer.put(kRowTag, stored_key, as_text(value.view()));
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
  if (!closing_) return;
  const int64_t reached = closing_->reached();
  while (auto due = due_.pop(reached)) {
    auto at = partitions_.find(due->thing);
    if (at == partitions_.end()) continue;
    ByteWriter head;
    head.sized(at->first);
    for (const auto& [key, entry] : at->second.rows) {
      bytes_ -= key.size() + kRowOverheadBytes;
      if (entry.stored) writer.remove(kRowTag, std::string(as_text(head.view())) + key);
    }
    partitions_.erase(at);
  }
}

Status TopN::load(char tag, std::string_view key, std::string_view value) {
  if (tag != kRowTag) return Error(Code::corrupt, "a top-n row has the unknown tag {}", int{tag});
  ByteReader head(as_bytes(key));
  auto partition_key = head.sized();
  auto row_key = key.substr(head.position());
  ByteReader in(as_bytes(value));
  Entry entry{.weight = in.svarint(), .order_bytes = 0, .stored = true};
  entry.order_bytes = static_cast<uint32_t>(in.varint());
  if (!head.ok() || !in.ok() || entry.order_bytes > row_key.size()) {
    return Error(Code::corrupt, "a stored top-n row is damaged");
  }
  auto at = partition_of(partition_key);
  at->second.rows.emplace(row_key, entry);
  bytes_ += row_key.size() + kRowOverheadBytes;
  return {};
}

}  // namespace ziwa::stream
