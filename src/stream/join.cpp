#include "stream/join.h"

#include <fmt/format.h>

#include <limits>
#include <utility>

namespace ziwa::stream {
namespace {

constexpr std::array<char, 2> kSideTags = {'l', 'r'};

/// Values of one deadline's expression, as times that its bound is compared with.
int64_t passes_at(const Deadline& deadline, const duckdb::UnifiedVectorFormat& values, size_t row) {
  const auto index = values.sel->get_index(row);
  if (!values.validity.RowIsValid(index)) return kNeverCloses;
  return closes_at(reinterpret_cast<const int64_t*>(values.data)[index], deadline.plus_us,
                   deadline.bound);
}

}  // namespace

struct Join::Row {
  Weight weight = 0;
  Weight change = 0;
  Slot key = 0;
  Slot next = 0;      ///< Slot plus one; 0: none.
  Slot previous = 0;  ///< Slot plus one; 0: it is the first.
  uint32_t key_bytes = 0;
  bool touched = false;
  bool fresh = false;  ///< It came in this step: its matches are not counted yet.
  bool unsaved = false;
  bool stored = false;
};

struct Join::Matches {
  Weight count = 0;
  bool remembered = false;  ///< It is in `before`.
};

struct Join::Keys {
  Slot first = 0;  ///< Slot of a row plus one.
  bool touched = false;
  Weight total = 0;
  Weight change = 0;
};

Join::Side::Side(data::RowKeyEncoder key, data::RowEncoder row, bool counts, Deadlines given)
    : key_encoder(std::move(key)),
      row_encoder(std::move(row)),
      counts_matches(counts),
      keys(sizeof(Keys)),
      rows(sizeof(Row) + (counts ? sizeof(Matches) : 0) + given.size() * sizeof(int64_t)),
      deadlines(std::move(given)),
      waiting(deadlines.size()) {}

Join::Row& Join::Side::row(Slot slot) { return *reinterpret_cast<Row*>(rows.payload(slot)); }
Join::Keys& Join::Side::key(Slot slot) { return *reinterpret_cast<Keys*>(keys.payload(slot)); }
Join::Matches& Join::Side::matches(Slot slot) {
  return *reinterpret_cast<Matches*>(rows.payload(slot) + sizeof(Row));
}
int64_t* Join::Side::times(Slot slot) {
  const size_t before = sizeof(Row) + (counts_matches ? sizeof(Matches) : 0);
  return reinterpret_cast<int64_t*>(rows.payload(slot) + before);
}
std::string_view Join::Side::key_of(Slot slot) {
  return rows.key(slot).substr(0, row(slot).key_bytes);
}
std::string_view Join::Side::row_bytes(Slot slot) {
  return rows.key(slot).substr(row(slot).key_bytes);
}
Join::Slot Join::Side::first_of(std::string_view bytes) {
  Slot found = keys.find(bytes);
  return found == KeyTable::kNone ? 0 : key(found).first;
}

Join::Slot Join::Side::find_or_insert(std::string_view key_bytes, std::string_view row_bytes,
                                      std::string& scratch) {
  scratch.assign(key_bytes);
  scratch.append(row_bytes);
  auto found = rows.find_or_insert(scratch);
  if (!found.inserted) return found.slot;
  Row& inserted = row(found.slot);
  inserted.fresh = true;
  inserted.key_bytes = static_cast<uint32_t>(key_bytes.size());
  inserted.key = keys.find_or_insert(key_bytes).slot;
  Keys& head = key(inserted.key);
  inserted.next = head.first;
  if (head.first != 0) row(head.first - 1).previous = found.slot + 1;
  head.first = found.slot + 1;
  return found.slot;
}

void Join::Side::change(Slot slot, Weight weight) {
  Row& state = row(slot);
  state.change += weight;
  if (!state.touched) {
    state.touched = true;
    touched.push_back(slot);
  }
  mark_unsaved(slot);
  Keys& head = key(state.key);
  head.change += weight;
  if (!head.touched) {
    head.touched = true;
    touched_keys.push_back(state.key);
  }
}

void Join::Side::mark_unsaved(Slot slot) {
  Row& state = row(slot);
  if (state.unsaved) return;
  state.unsaved = true;
  unsaved.push_back(slot);
}

void Join::Side::remember(Slot slot) {
  Matches& counted = matches(slot);
  if (counted.remembered) return;
  counted.remembered = true;
  before.push_back({.slot = slot, .weight = row(slot).weight, .matches = counted.count});
}

void Join::Side::erase(Slot slot) {
  Row& gone = row(slot);
  if (gone.next != 0) row(gone.next - 1).previous = gone.previous;
  if (gone.previous != 0) {
    row(gone.previous - 1).next = gone.next;
  } else {
    Keys& head = key(gone.key);
    head.first = gone.next;
    if (head.first == 0) keys.erase(gone.key);
  }
  rows.erase(slot);
}

void Join::Side::end_step() {
  for (Slot slot : touched) {
    Row& state = row(slot);
    state.touched = false;
    state.fresh = false;
    state.change = 0;
  }
  touched.clear();
  for (Slot slot : touched_keys) {
    Keys& head = key(slot);
    head.touched = false;
    head.total += std::exchange(head.change, 0);
  }
  touched_keys.clear();
}

Result<Join::Side> Join::make_side(StageContext& context, uint32_t node_id,
                                   const std::vector<Expression>& keys,
                                   const std::vector<PlanColumn>& columns, size_t first_output,
                                   bool counts_matches, Deadlines deadlines) {
  std::vector<Expression> expressions = keys;
  for (const auto& deadline : deadlines) {
    // A row for which it fails has no deadline; whether that is an error the residual says.
    const bool plain = plain_column(deadline.time).has_value();
    expressions.push_back(plain ? deadline.time : fmt::format("TRY({})", deadline.time));
  }
  auto evaluator = TRY(Evaluator::compile(context, node_id, columns, expressions));
  auto key_types = evaluator->types();
  for (size_t i = keys.size(); i < expressions.size(); ++i) {
    if (is_timestamp(key_types[i])) continue;
    return Error(Code::invalid_argument, "a join frees rows by {}, which is no TIMESTAMP",
                 expressions[i]);
  }
  key_types.resize(keys.size());
  auto key_encoder = TRY(data::RowKeyEncoder::create(key_types));
  auto types = TRY(parse_types(columns));
  auto row_encoder = TRY(data::RowEncoder::create(types));
  Side side(std::move(key_encoder), std::move(row_encoder), counts_matches, std::move(deadlines));
  side.evaluator = std::move(evaluator);
  side.slice = std::make_unique<DeltaSlice>(types);
  for (size_t i = 0; i < keys.size(); ++i) side.key_columns.push_back(i);
  for (size_t i = 0; i < columns.size(); ++i) {
    side.row_columns.push_back(i);
    side.targets.push_back(static_cast<data::ColumnTarget>(first_output + i));
  }
  return side;
}

Result<std::unique_ptr<Join>> Join::create(StageContext& context, uint32_t node_id,
                                           const JoinNode& node,
                                           const std::vector<PlanColumn>& left,
                                           const std::vector<PlanColumn>& right,
                                           const std::vector<PlanColumn>& output,
                                           std::array<Deadlines, 2> deadlines) {
  auto counts = [&](size_t side) { return node.residual && shows_alone(node.kind, side); };
  auto left_side =
      TRY(make_side(context, node_id, node.left_keys, left, 0, counts(0), std::move(deadlines[0])));
  auto right_side = TRY(make_side(context, node_id, node.right_keys, right, left.size(), counts(1),
                                  std::move(deadlines[1])));
  for (size_t i = 0; i < node.left_keys.size(); ++i) {
    const auto& left_type = left_side.evaluator->types()[i];
    const auto& right_type = right_side.evaluator->types()[i];
    if (left_type == right_type) continue;
    return Error(Code::invalid_argument, "a join compares {} ({}) with {} ({})", node.left_keys[i],
                 left_type.ToString(), node.right_keys[i], right_type.ToString());
  }
  std::vector<PlanColumn> both = left;
  both.insert(both.end(), right.begin(), right.end());
  auto pair_types = TRY(parse_types(both));
  auto types = TRY(parse_types(output));
  if (types.size() != (gives_right_columns(node.kind) ? both.size() : left.size())) {
    return Error(Code::invalid_argument, "a join has the wrong output columns");
  }
  std::unique_ptr<Join> join(new Join(context, node, std::move(left_side), std::move(right_side)));
  for (size_t side = 0; side < 2; ++side) {
    join->sides_[side].shown_alone = shows_alone(node.kind, side);
  }
  if (node.residual) {
    join->residual_ = TRY(Evaluator::compile(context, node_id, both, {*node.residual}));
  }
  join->slice_ = std::make_unique<DeltaSlice>(pair_types);
  join->pairs_.Initialize(duckdb::Allocator::DefaultAllocator(), pair_types);
  join->alone_.Initialize(duckdb::Allocator::DefaultAllocator(), types);
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

Weight Join::alone(bool matched) const { return matched == (node_.kind == JoinKind::semi) ? 1 : 0; }

Status Join::consume(size_t input, Delta& delta) {
  Side& side = sides_[input];
  Delta rows = TRY(side.evaluator->run(delta));
  if (rows.size() == 0) return {};
  auto& keys = side.evaluator->output();
  side.key_encoder.encode(keys, side.key_columns, key_bytes_);
  side.row_encoder.encode(rows.rows, side.row_columns, row_bytes_);
  std::vector<duckdb::UnifiedVectorFormat> formats(node_.left_keys.size());
  for (size_t i = 0; i < formats.size(); ++i) keys.data[i].ToUnifiedFormat(rows.size(), formats[i]);
  std::vector<duckdb::UnifiedVectorFormat> times(side.deadlines.size());
  for (size_t i = 0; i < times.size(); ++i)
    keys.data[formats.size() + i].ToUnifiedFormat(rows.size(), times[i]);
  duckdb::SelectionVector unmatchable(rows.size());
  size_t count = 0;
  for (size_t row = 0; row < rows.size(); ++row) {
    if (has_unmatchable_null(formats, row)) {
      unmatchable.set_index(count++, row);
      continue;
    }
    const Slot slot = side.find_or_insert(key_bytes_[row], row_bytes_[row], scratch_);
    if (!times.empty() && side.row(slot).fresh && !side.row(slot).touched) {
      for (size_t i = 0; i < times.size(); ++i)
        side.times(slot)[i] = passes_at(side.deadlines[i], times[i], row);
      side.waiting[0].push(side.times(slot)[0], slot);
    }
    side.change(slot, rows.weight(row));
  }
  if (count == 0 || !side.shown_alone || alone(false) == 0) return {};
  return show_unmatchable(input, rows, unmatchable, count);
}

Status Join::show_unmatchable(size_t side, Delta& delta, const duckdb::SelectionVector& selection,
                              size_t count) {
  Delta rows = sides_[side].slice->take(delta, selection, count);
  rows.origin = nullptr;
  rows.origin_rows = nullptr;
  if (!gives_right_columns(node_.kind)) return emit(rows);
  duckdb::DataChunk padded;
  padded.InitializeEmpty(alone_.GetTypes());
  size_t first = static_cast<size_t>(sides_[side].targets.empty() ? 0 : sides_[side].targets[0]);
  for (size_t i = 0; i < padded.ColumnCount(); ++i) {
    if (i >= first && i < first + rows.rows.ColumnCount()) {
      padded.data[i].Reference(rows.rows.data[i - first]);
    } else {
      padded.data[i].Reference(duckdb::Value(padded.data[i].GetType()));
    }
  }
  padded.SetCardinality(count);
  Delta out{.rows = padded, .weights = rows.weights};
  return emit(out);
}

Status Join::finish() {
  for (auto& side : sides_) {
    if (!side.counts_matches) continue;
    for (Slot slot : side.touched) side.remember(slot);
  }
  TRY(probe(0));
  TRY(probe(1));
  TRY(flush_pairs());
  for (size_t side = 0; side < 2; ++side) {
    if (!sides_[side].shown_alone) continue;
    TRY(sides_[side].counts_matches ? show_by_matches(side) : show_by_keys(side));
  }
  TRY(emit_all(alone_, alone_weights_));
  for (auto& side : sides_) side.end_step();
  return {};
}

/// Pairs the changed rows of one side with all rows of the other, and lets the changes enter.
Status Join::probe(size_t changed) {
  Side& side = sides_[changed];
  Side& other = sides_[1 - changed];
  // A pair on which the residual fails is an error of its weight, whatever the join gives.
  const bool pairs = gives_right_columns(node_.kind) || residual_ != nullptr;
  const bool change_counts = pairs || other.counts_matches;
  for (Slot slot : side.touched) {
    Row& state = side.row(slot);
    const Weight change = state.change;
    // A row that is new counts what it meets; one that was there is only told of new ones.
    const bool counts_all = side.counts_matches && state.fresh;
    const bool probes = counts_all || (change_counts && change != 0);
    Slot at = probes ? other.first_of(side.key_of(slot)) : 0;
    for (; at != 0; at = other.row(at - 1).next) {
      const Row& match = other.row(at - 1);
      const Weight weight = pairs ? change * match.weight : 0;
      Candidate candidate{.left = slot, .right = at - 1, .to_left = 0, .to_right = 0};
      // The second probe meets rows of the first side that are fresh: they counted this side's old
      // rows, and hear of its changes now. The first probe leaves fresh rows of the other side to
      // count for themselves.
      if (counts_all) candidate.to_left = match.weight;
      if (other.counts_matches && (changed == 1 || !match.fresh)) candidate.to_right = change;
      if (weight == 0 && candidate.to_left == 0 && candidate.to_right == 0) continue;
      if (changed == 1) {
        std::swap(candidate.left, candidate.right);
        std::swap(candidate.to_left, candidate.to_right);
      }
      TRY(add_pair(candidate, weight));
    }
    state.weight += change;
  }
  return {};
}

Status Join::add_pair(const Candidate& candidate, Weight weight) {
  size_t to = pairs_.size();
  Side& left = sides_[0];
  Side& right = sides_[1];
  TRY(left.row_encoder.decode_columns(left.row_bytes(candidate.left), left.targets, pairs_, to));
  TRY(right.row_encoder.decode_columns(right.row_bytes(candidate.right), right.targets, pairs_,
                                       to));
  pair_weights_.push_back(weight);
  if (residual_ != nullptr) candidates_.push_back(candidate);
  pairs_.SetCardinality(to + 1);
  return pairs_.size() == STANDARD_VECTOR_SIZE ? flush_pairs() : Status();
}

Status Join::flush_pairs() {
  if (pairs_.size() == 0) return {};
  Delta delta{.rows = pairs_, .weights = pair_weights_.data()};
  Status done;
  const bool gives_pairs = gives_right_columns(node_.kind);
  if (residual_ == nullptr) {
    done = emit(delta);
  } else {
    // Where each row came from survives the rows that fail in the residual.
    std::vector<uint32_t> numbers(pairs_.size());
    for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<uint32_t>(i);
    delta.origin_rows = numbers.data();
    Delta rows = TRY(residual_->run(delta));
    duckdb::UnifiedVectorFormat format;
    residual_->output().data[0].ToUnifiedFormat(rows.size(), format);
    duckdb::SelectionVector kept(rows.size());
    size_t count = 0;
    for (size_t row = 0; row < rows.size(); ++row) {
      auto index = format.sel->get_index(row);
      if (!format.validity.RowIsValid(index) || format.data[index] == 0) continue;
      const Candidate& candidate = candidates_[rows.origin_row(row)];
      if (candidate.to_left != 0) {
        sides_[0].remember(candidate.left);
        sides_[0].matches(candidate.left).count += candidate.to_left;
      }
      if (candidate.to_right != 0) {
        sides_[1].remember(candidate.right);
        sides_[1].matches(candidate.right).count += candidate.to_right;
      }
      if (gives_pairs && rows.weight(row) != 0) kept.set_index(count++, row);
    }
    if (count > 0) {
      Delta matching = slice_->take(rows, kept, count);
      matching.origin_rows = nullptr;
      done = emit(matching);
    }
  }
  reset_chunk(pairs_);
  pair_weights_.clear();
  candidates_.clear();
  return done;
}

/// A row matches if its key has rows on the other side.
Status Join::show_by_keys(size_t index) {
  Side& side = sides_[index];
  Side& other = sides_[1 - index];
  for (Slot slot : side.touched) {
    const Row& state = side.row(slot);
    if (state.change == 0) continue;
    Slot key = other.keys.find(side.key_of(slot));
    bool was = key != KeyTable::kNone && other.key(key).total > 0;
    bool is = key != KeyTable::kNone && other.key(key).total + other.key(key).change > 0;
    // Else the rows of the key are all shown anew below.
    if (was == is) TRY(show(index, slot, state.change * alone(is)));
  }
  for (Slot key : other.touched_keys) {
    const Keys& head = other.key(key);
    bool was = head.total > 0;
    bool is = head.total + head.change > 0;
    if (was == is) continue;
    for (Slot at = side.first_of(other.keys.key(key)); at != 0; at = side.row(at - 1).next) {
      const Row& state = side.row(at - 1);
      TRY(show(index, at - 1,
               state.weight * alone(is) - (state.weight - state.change) * alone(was)));
    }
  }
  return {};
}

Status Join::show_by_matches(size_t index) {
  Side& side = sides_[index];
  for (const Before& was : side.before) {
    Matches& now = side.matches(was.slot);
    now.remembered = false;
    TRY(show(
        index, was.slot,
        side.row(was.slot).weight * alone(now.count > 0) - was.weight * alone(was.matches > 0)));
    if (now.count != was.matches) side.mark_unsaved(was.slot);
  }
  side.before.clear();
  return {};
}

Status Join::show(size_t index, Slot slot, Weight weight) {
  if (weight == 0) return {};
  Side& side = sides_[index];
  size_t to = alone_.size();
  TRY(side.row_encoder.decode_columns(side.row_bytes(slot), side.targets, alone_, to));
  if (gives_right_columns(node_.kind)) {
    for (auto target : sides_[1 - index].targets) {
      duckdb::FlatVector::SetNull(alone_.data[static_cast<size_t>(target)], to, true);
    }
  }
  alone_weights_.push_back(weight);
  alone_.SetCardinality(to + 1);
  return alone_.size() == STANDARD_VECTOR_SIZE ? emit_all(alone_, alone_weights_) : Status();
}

void Join::remove_stored(size_t index, Slot slot, StateWriter& writer) {
  Side& side = sides_[index];
  if (!side.row(slot).stored) return;
  ByteWriter key;
  key.varint(side.row(slot).key_bytes);
  key.raw(side.rows.key(slot));
  writer.remove(kSideTags[index], as_text(key.view()));
}

/// Rows whose deadlines have all passed. What they matched stays matched: the sums of their key and
/// the matches of other rows go on counting them.
void Join::let_go(size_t index, StateWriter& writer) {
  Side& side = sides_[index];
  for (size_t i = 0; i < side.deadlines.size(); ++i) {
    const int64_t reached = side.deadlines[i].bound.reached(context_.watermark);
    while (auto due = side.waiting[i].pop(reached)) {
      const Slot slot = due->thing;
      // The row may be gone, and another in its slot.
      if (!side.rows.used(slot) || side.times(slot)[i] != due->at_us) continue;
      if (i + 1 < side.deadlines.size()) {
        side.waiting[i + 1].push(side.times(slot)[i + 1], slot);
        continue;
      }
      remove_stored(index, slot, writer);
      side.row(slot).unsaved = false;
      side.erase(slot);
    }
  }
}

// A stored row: varint length of the join key, join key, row bytes -> svarint weight and, where
// rows count their matches, svarint matches; then svarint when each deadline passes.
Status Join::save(StateWriter& writer) {
  for (size_t i = 0; i < sides_.size(); ++i) {
    Side& side = sides_[i];
    let_go(i, writer);
    for (Slot slot : side.unsaved) {
      if (!side.rows.used(slot) || !side.row(slot).unsaved) continue;
      Row& state = side.row(slot);
      state.unsaved = false;
      if (state.weight == 0) {
        remove_stored(i, slot, writer);
        side.erase(slot);
        continue;
      }
      ByteWriter key;
      key.varint(state.key_bytes);
      key.raw(side.rows.key(slot));
      ByteWriter value;
      value.svarint(state.weight);
      if (side.counts_matches) value.svarint(side.matches(slot).count);
      for (size_t k = 0; k < side.deadlines.size(); ++k) value.svarint(side.times(slot)[k]);
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
  Weight matches = side.counts_matches ? in.svarint() : 0;
  // Versions that freed no rows by time stored none.
  std::vector<int64_t> times(side.deadlines.size(), kNeverCloses);
  for (size_t i = 0; i < times.size() && in.remaining() > 0; ++i) times[i] = in.svarint();
  if (!head.ok() || !in.ok() || key_bytes > rest.size()) {
    return Error(Code::corrupt, "a stored join row is damaged");
  }
  Slot slot = side.find_or_insert(rest.substr(0, key_bytes), rest.substr(key_bytes), scratch_);
  Row& state = side.row(slot);
  state.fresh = false;
  state.weight = weight;
  state.stored = true;
  side.key(state.key).total += weight;
  if (side.counts_matches) side.matches(slot).count = matches;
  for (size_t i = 0; i < times.size(); ++i) side.times(slot)[i] = times[i];
  if (!times.empty()) side.waiting[0].push(times[0], slot);
  return {};
}

size_t Join::state_bytes() const {
  size_t bytes = 0;
  for (const auto& side : sides_) {
    bytes += side.keys.bytes() + side.rows.bytes();
    for (const auto& queue : side.waiting) bytes += queue.bytes();
  }
  return bytes;
}

}  // namespace ziwa::stream
