#include "stream/set_operation.h"

#include <algorithm>

namespace ziwa::stream {
namespace {

constexpr char kRowTag = 'r';

}  // namespace

struct SetOperation::Row {
  Weight shown = 0;
  bool touched = false;
  bool unsaved = false;
  bool stored = false;
};

SetOperation::Rule SetOperation::rule_of(const SetOperationNode& node) {
  if (node.intersect) return node.all ? Rule::intersect_all : Rule::intersect;
  return node.all ? Rule::except_all : Rule::except;
}

SetOperation::SetOperation(Rule rule, data::RowKeyEncoder encoder, ClosingKeys closing)
    : rule_(rule),
      encoder_(std::move(encoder)),
      table_(sizeof(Row) + (rule == Rule::distinct ? 1 : 2) * sizeof(Weight)),
      closing_(std::move(closing)) {}

Weight* SetOperation::weights(KeyTable::Slot slot) {
  return reinterpret_cast<Weight*>(table_.payload(slot) + sizeof(Row));
}

Weight SetOperation::result(const Weight* weights) const {
  const Weight left = std::max<Weight>(weights[0], 0);
  switch (rule_) {
    case Rule::distinct:
      return left > 0 ? 1 : 0;
    case Rule::except:
      return left > 0 && weights[1] <= 0 ? 1 : 0;
    case Rule::except_all:
      return std::max<Weight>(left - std::max<Weight>(weights[1], 0), 0);
    case Rule::intersect:
      return left > 0 && weights[1] > 0 ? 1 : 0;
    case Rule::intersect_all:
      return std::min(left, std::max<Weight>(weights[1], 0));
  }
  return 0;
}

Result<std::unique_ptr<SetOperation>> SetOperation::create(
    const StageContext& context, Rule rule, const std::vector<PlanColumn>& columns,
    const std::optional<BoundColumn>& closing) {
  auto types = TRY(parse_types(columns));
  auto encoder = TRY(data::RowKeyEncoder::create(types));
  std::unique_ptr<SetOperation> operation(new SetOperation(
      rule, std::move(encoder), TRY(ClosingKeys::create(context, closing, types))));
  for (size_t i = 0; i < columns.size(); ++i) {
    operation->columns_.push_back(i);
    operation->targets_.push_back(static_cast<data::ColumnTarget>(i));
  }
  operation->output_.Initialize(duckdb::Allocator::DefaultAllocator(), types);
  return operation;
}

Status SetOperation::consume(size_t input, Delta& delta) {
  encoder_.encode(delta.rows, columns_, keys_);
  table_.find_or_insert(keys_, slots_, inserted_);
  for (size_t i = 0; i < delta.size(); ++i) {
    if (inserted_[i] != 0) TRY(closing_.watch(slots_[i], keys_[i]));
    weights(slots_[i])[input] += delta.weight(i);
    Row& state = row(slots_[i]);
    if (!state.touched) {
      state.touched = true;
      touched_.push_back(slots_[i]);
    }
    if (!state.unsaved) {
      state.unsaved = true;
      unsaved_.push_back(slots_[i]);
    }
  }
  return {};
}

Status SetOperation::finish() {
  for (KeyTable::Slot slot : touched_) {
    Row& state = row(slot);
    state.touched = false;
    const Weight now = result(weights(slot));
    if (now == state.shown) continue;
    size_t to = output_.size();
    TRY(encoder_.decode_columns(table_.key(slot), targets_, output_, to));
    output_weights_.push_back(now - state.shown);
    state.shown = now;
    output_.SetCardinality(to + 1);
    if (output_.size() == STANDARD_VECTOR_SIZE) TRY(emit_all(output_, output_weights_));
  }
  touched_.clear();
  return emit_all(output_, output_weights_);
}

// A stored row: key -> svarint weight in each input.
Status SetOperation::save(StateWriter& writer) {
  for (KeyTable::Slot slot : unsaved_) {
    Row& state = row(slot);
    state.unsaved = false;
    const std::span<const Weight> all(weights(slot), inputs());
    if (std::ranges::all_of(all, [](Weight weight) { return weight == 0; })) {
      if (state.stored) writer.remove(kRowTag, table_.key(slot));
      table_.erase(slot);
      continue;
    }
    ByteWriter value;
    for (Weight weight : all) value.svarint(weight);
    writer.put(kRowTag, table_.key(slot), as_text(value.view()));
    state.stored = true;
  }
  unsaved_.clear();
  return let_go(writer);
}

/// Rows that are final.
Status SetOperation::let_go(StateWriter& writer) {
  while (auto slot = TRY(closing_.next(table_))) {
    if (row(*slot).stored) writer.remove(kRowTag, table_.key(*slot));
    table_.erase(*slot);
  }
  return {};
}

Status SetOperation::load(char tag, std::string_view key, std::string_view value) {
  if (tag != kRowTag)
    return Error(Code::corrupt, "a row of a set has the unknown tag {}", int{tag});
  auto found = table_.find_or_insert(key);
  ByteReader in(as_bytes(value));
  for (size_t i = 0; i < inputs(); ++i) weights(found.slot)[i] = in.svarint();
  Row& state = row(found.slot);
  state.shown = result(weights(found.slot));
  state.stored = true;
  TRY(closing_.watch(found.slot, key));
  return in.status("a stored row");
}

}  // namespace ziwa::stream
