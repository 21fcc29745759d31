#include "stream/join.h"

namespace ziwa::stream {
namespace {

constexpr std::array<char, 2> kSideTags = {'l', 'r'};

}  // namespace

struct Join::Row {
  Weight weight = 0;
  Weight change = 0;
  KeyTable::Slot key = 0;
  KeyTable::Slot next = 0;      ///< Slot plus one; 0: none.
  KeyTable::Slot previous = 0;  ///< Slot plus one; 0: it is the first.
  uint32_t key_bytes = 0;
  bool touched = false;
  bool unsaved = false;
  bool stored = false;
};

struct Join::Keys {
  KeyTable::Slot first = 0;  ///< Slot of a row plus one.
};

Join::Side::Side(data::RowKeyEncoder key, data::RowEncoder row)
    : key_encoder(std::move(key)),
      row_encoder(std::move(row)),
      keys(sizeof(Keys)),
      rows(sizeof(Row)) {}

Join::Row& Join::Side::row(KeyTable::Slot slot) {
  return *reinterpret_cast<Row*>(rows.payload(slot));
}
std::string_view Join::Side::key_of(KeyTable::Slot slot) {
  return rows.key(slot).substr(0, row(slot).key_bytes);
}
std::string_view Join::Side::row_bytes(KeyTable::Slot slot) {
  return rows.key(slot).substr(row(slot).key_bytes);
}

KeyTable::Slot Join::Side::find_or_insert(std::string_view key, std::string_view row_bytes,
                                          std::string& scratch) {
  scratch.assign(key);
  scratch.append(row_bytes);
  auto found = rows.find_or_insert(scratch);
  if (!found.inserted) return found.slot;
  Row& inserted = row(found.slot);
  inserted.key_bytes = static_cast<uint32_t>(key.size());
  inserted.key = keys.find_or_insert(key).slot;
  auto& head = *reinterpret_cast<Keys*>(keys.payload(inserted.key));
  inserted.next = head.first;
  if (head.first != 0) row(head.first - 1).previous = found.slot + 1;
  head.first = found.slot + 1;
  return found.slot;
}

void Join::Side::erase(KeyTable::Slot slot) {
  Row& gone = row(slot);
  if (gone.next != 0) row(gone.next - 1).previous = gone.previous;
  if (gone.previous != 0) {
    row(gone.previous - 1).next = gone.next;
  } else {
    auto& head = *reinterpret_cast<Keys*>(keys.payload(gone.key));
    head.first = gone.next;
    if (head.first == 0) keys.erase(gone.key);
  }
  rows.erase(slot);
}

Result<Join::Side> Join::make_side(StageContext& context, const std::vector<Expression>& keys,
                                   const std::vector<PlanColumn>& columns, size_t first_output) {
  auto evaluator = TRY(Evaluator::compile(context.instance, columns, keys));
  auto key_encoder = TRY(data::RowKeyEncoder::create(evaluator->types()));
  auto row_encoder = TRY(data::RowEncoder::create(TRY(parse_types(columns))));
  Side side(std::move(key_encoder), std::move(row_encoder));
  side.evaluator = std::move(evaluator);
  for (size_t i = 0; i < keys.size(); ++i) side.key_columns.push_back(i);
  for (size_t i = 0; i < columns.size(); ++i) {
    side.row_columns.push_back(i);
    side.targets.push_back(static_cast<data::ColumnTarget>(first_output + i));
  }
  return side;
}

Result<std::unique_ptr<Join>> Join::create(StageContext& context, const JoinNode& node,
                                           const std::vector<PlanColumn>& left,
                                           const std::vector<PlanColumn>& right,
                                           const std::vector<PlanColumn>& output) {
  auto left_side = TRY(make_side(context, node.left_keys, left, 0));
  auto right_side = TRY(make_side(context, node.right_keys, right, left.size()));
  for (size_t i = 0; i < node.left_keys.size(); ++i) {
    const auto& left_type = left_side.evaluator->types()[i];
    const auto& right_type = right_side.evaluator->types()[i];
    if (left_type == right_type) continue;
    return Error(Code::invalid_argument, "a join compares {} ({}) with {} ({})", node.left_keys[i],
                 left_type.ToString(), node.right_keys[i], right_type.ToString());
  }
  auto types = TRY(parse_types(output));
  if (types.size() != left.size() + right.size()) {
    return Error(Code::invalid_argument, "a join has the wrong output columns");
  }
  std::unique_ptr<Join> join(new Join(context, node, std::move(left_side), std::move(right_side)));
  if (node.residual) {
    join->residual_ = TRY(Evaluator::compile(context.instance, output, {*node.residual}));
  }
  join->slice_ = std::make_unique<DeltaSlice>(types);
  join->output_.Initialize(duckdb::Allocator::DefaultAllocator(), types);
  return join;
}

/// NULL = NULL is not true: such a row can never match and is not even kept.
bool Join::has_unmatchable_null(const std::vector<duckdb::UnifiedVectorFormat>& formats,
                                size_t row) const {
  for (size_t i = 0; i < formats.size(); ++i) {
    if (node_.null_safe[i]) continue;
    if (!formats[i].validity.RowIsValid(formats[i].sel->get_index(row))) return true;
  }
  return false;
}

Status Join::consume(size_t input, Delta& delta) {
  Side& side = sides_[input];
  Delta rows = TRY(side.evaluator->run(delta, context_.errors));
  if (rows.size() == 0) return {};
  auto& keys = side.evaluator->output();
  side.key_encoder.encode(keys, side.key_columns, key_bytes_);
  side.row_encoder.encode(rows.rows, side.row_columns, row_bytes_);
  std::vector<duckdb::UnifiedVectorFormat> formats(keys.ColumnCount());
  for (size_t i = 0; i < formats.size(); ++i) keys.data[i].ToUnifiedFormat(rows.size(), formats[i]);
  for (size_t row = 0; row < rows.size(); ++row) {
    if (has_unmatchable_null(formats, row)) continue;
    auto slot = side.find_or_insert(key_bytes_[row], row_bytes_[row], scratch_);
    Row& state = side.row(slot);
    state.change += rows.weight(row);
    if (!state.touched) {
      state.touched = true;
      side.touched.push_back(slot);
    }
    if (!state.unsaved) {
      state.unsaved = true;
      side.unsaved.push_back(slot);
    }
  }
  return {};
}

Status Join::finish() {
  TRY(probe(sides_[0], sides_[1]));
  TRY(probe(sides_[1], sides_[0]));
  return flush();
}

Status Join::probe(Side& changed, Side& other) {
  for (KeyTable::Slot slot : changed.touched) {
    Row& state = changed.row(slot);
    state.touched = false;
    Weight change = std::exchange(state.change, 0);
    if (change == 0) continue;
    state.weight += change;
    auto key_slot = other.keys.find(changed.key_of(slot));
    if (key_slot == KeyTable::kNone) continue;
    auto at = reinterpret_cast<const Keys*>(other.keys.payload(key_slot))->first;
    while (at != 0) {
      const Row& match = other.row(at - 1);
      if (match.weight != 0) TRY(pair(changed, slot, other, at - 1, change * match.weight));
      at = match.next;
    }
  }
  changed.touched.clear();
  return {};
}

Status Join::pair(Side& a, KeyTable::Slot a_slot, Side& b, KeyTable::Slot b_slot, Weight weight) {
  size_t to = output_.size();
  TRY(a.row_encoder.decode_columns(a.row_bytes(a_slot), a.targets, output_, to));
  TRY(b.row_encoder.decode_columns(b.row_bytes(b_slot), b.targets, output_, to));
  weights_.push_back(weight);
  output_.SetCardinality(to + 1);
  return output_.size() == STANDARD_VECTOR_SIZE ? flush() : Status();
}

Status Join::flush() {
  if (output_.size() == 0) return {};
  Delta delta{.rows = output_, .weights = weights_.data()};
  Status done;
  if (residual_ == nullptr) {
    done = emit(delta);
  } else {
    Delta rows = TRY(residual_->run(delta, context_.errors));
    duckdb::UnifiedVectorFormat format;
    residual_->output().data[0].ToUnifiedFormat(rows.size(), format);
    duckdb::SelectionVector kept(rows.size());
    size_t count = 0;
    for (size_t row = 0; row < rows.size(); ++row) {
      auto index = format.sel->get_index(row);
      if (format.validity.RowIsValid(index) && format.data[index] != 0)
        kept.set_index(count++, row);
    }
    if (count > 0) {
      Delta matching = slice_->take(rows, kept, count);
      done = emit(matching);
    }
  }
  reset_chunk(output_);
  weights_.clear();
  return done;
}

// A stored row: varint length of the join key, join key, row bytes -> svarint weight.
Status Join::save(StateWriter& writer) {
  for (size_t i = 0; i < sides_.size(); ++i) {
    Side& side = sides_[i];
    for (KeyTable::Slot slot : side.unsaved) {
      Row& state = side.row(slot);
      state.unsaved = false;
      ByteWriter key;
      key.varint(state.key_bytes);
      key.raw(side.rows.key(slot));
      if (state.weight == 0) {
        if (state.stored) writer.remove(kSideTags[i], as_text(key.view()));
        side.erase(slot);
        continue;
      }
      ByteWriter value;
      value.svarint(state.weight);
      writer.put(kSideTags[i], as_text(key.view()), as_text(value.view()));
      state.stored = true;
    }
    side.unsaved.clear();
  }
  return {};
}

Status Join::load(char tag, std::string_view key, std::string_view value) {
  if (tag != kSideTags[0] && tag != kSideTags[1]) {
    return Error(Code::corrupt, "a join row has the unknown tag {}", int{tag});
  }
  Side& side = sides_[tag == kSideTags[0] ? 0 : 1];
  ByteReader head(as_bytes(key));
  auto key_bytes = head.varint();
  auto rest = key.substr(head.position());
  ByteReader in(as_bytes(value));
  Weight weight = in.svarint();
  if (!head.ok() || !in.ok() || key_bytes > rest.size()) {
    return Error(Code::corrupt, "a stored join row is damaged");
  }
  auto slot = side.find_or_insert(rest.substr(0, key_bytes), rest.substr(key_bytes), scratch_);
  side.row(slot).weight = weight;
  side.row(slot).stored = true;
  return {};
}

size_t Join::state_bytes() const {
  size_t bytes = 0;
  for (const auto& side : sides_) bytes += side.keys.bytes() + side.rows.bytes();
  return bytes;
}

}  // namespace ziwa::stream
