#include "stream/asof_join.h"

#include <algorithm>
#include <utility>

namespace ziwa::stream {
namespace {

constexpr std::array<char, 2> kSideTags = {'l', 'r'};
constexpr size_t kRowOverheadBytes = 112;

}  // namespace

Result<AsofJoin::Side> AsofJoin::make_side(StageContext& context, uint32_t node_id,
                                           const std::vector<Expression>& keys,
                                           const Expression& time, bool descending,
                                           const std::vector<PlanColumn>& columns,
                                           size_t first_output) {
  std::vector<Expression> expressions = keys;
  expressions.push_back(time);
  auto evaluator = TRY(Evaluator::compile(context, node_id, columns, expressions));
  const auto& types = evaluator->types();
  auto key_types = types;
  key_types.pop_back();
  auto key_encoder = TRY(data::RowKeyEncoder::create(key_types));
  auto row_encoder = TRY(data::RowKeyEncoder::create(TRY(parse_types(columns))));
  auto order = TRY(OrderKey::create({{.column = keys.size(), .descending = descending}}, types));
  Side side{.evaluator = nullptr,
            .key_encoder = std::move(key_encoder),
            .row_encoder = std::move(row_encoder),
            .time = std::move(order),
            .timed = is_timestamp(types.back())};
  side.evaluator = std::move(evaluator);
  for (size_t i = 0; i < keys.size(); ++i) side.key_columns.push_back(i);
  for (size_t i = 0; i < columns.size(); ++i) {
    side.row_columns.push_back(i);
    side.targets.push_back(static_cast<data::ColumnTarget>(first_output + i));
  }
  return side;
}

Result<std::unique_ptr<AsofJoin>> AsofJoin::create(StageContext& context, uint32_t node_id,
                                                   const AsofNode& node,
                                                   const std::vector<PlanColumn>& left,
                                                   const std::vector<PlanColumn>& right,
                                                   const std::vector<PlanColumn>& output,
                                                   AsofBounds bounds) {
  auto left_side =
      TRY(make_side(context, node_id, node.left_keys, node.left_time, node.after, left, 0));
  auto right_side = TRY(make_side(context, node_id, node.right_keys, node.right_time, node.after,
                                  right, left.size()));
  if (left_side.evaluator->types() != right_side.evaluator->types()) {
    return Error(Code::invalid_argument, "an ASOF join compares columns of different types");
  }
  auto types = TRY(parse_types(output));
  if (types.size() != left.size() + right.size()) {
    return Error(Code::invalid_argument, "an ASOF join has the wrong output columns");
  }
  std::unique_ptr<AsofJoin> join(
      new AsofJoin(context, node, {std::move(bounds.left_rows), std::move(bounds.right_rows)},
                   std::move(left_side), std::move(right_side)));
  join->output_.Initialize(duckdb::Allocator::DefaultAllocator(), types);
  return join;
}

Status AsofJoin::consume(size_t input, Delta& delta) {
  Side& side = sides_[input];
  Delta rows = TRY(side.evaluator->run(delta));
  if (rows.size() == 0) return {};
  auto& computed = side.evaluator->output();
  side.key_encoder.encode(computed, side.key_columns, key_bytes_);
  side.row_encoder.encode(rows.rows, side.row_columns, row_bytes_);
  side.time.encode(computed);
  std::vector<duckdb::UnifiedVectorFormat> formats(computed.ColumnCount());
  for (size_t i = 0; i < formats.size(); ++i)
    computed.data[i].ToUnifiedFormat(rows.size(), formats[i]);
  const auto& times = formats.back();
  for (size_t row = 0; row < rows.size(); ++row) {
    const bool matches = std::ranges::all_of(formats, [&](const auto& format) {
      return format.validity.RowIsValid(format.sel->get_index(row));
    });
    if (!matches) {
      if (input == 0 && node_.keep_left) TRY(show_alone(row_bytes_[row], rows.weight(row)));
      continue;
    }
    const auto name = side.key_columns.empty() ? std::string_view() : key_bytes_[row];
    auto at = keys_.find(name);
    if (at == keys_.end()) at = keys_.emplace(name, Key()).first;
    Key& key = at->second;
    if (!key.is_touched()) touched_.push_back(at);
    if (!key.is_unsaved()) unsaved_.push_back(at);
    scratch_.clear();
    side.time.append(row, scratch_);
    const auto time_bytes = static_cast<uint32_t>(scratch_.size());
    scratch_.append(row_bytes_[row]);
    auto entry = key.rows[input].lower_bound(scratch_);
    if (entry == key.rows[input].end() || entry->first != scratch_) {
      entry = key.rows[input].emplace_hint(entry, scratch_, Entry{.time_bytes = time_bytes});
      bytes_ += scratch_.size() + kRowOverheadBytes;
      if (side.timed) {
        entry->second.time_us =
            reinterpret_cast<const int64_t*>(times.data)[times.sel->get_index(row)];
        wait(input, at, entry->second.time_us);
      }
    }
    entry->second.change += rows.weight(row);
    if (!std::exchange(entry->second.touched, true)) key.touched[input].push_back(entry);
    if (!std::exchange(entry->second.unsaved, true)) key.unsaved[input].push_back(entry);
  }
  return {};
}

Status AsofJoin::finish() {
  for (auto at : touched_) {
    TRY(settle(at->second));
    for (auto& touched : at->second.touched) {
      for (auto entry : touched) entry->second.touched = false;
      touched.clear();
    }
  }
  touched_.clear();
  return emit_all(output_, weights_);
}

/// The right row that a left row of this time has; end: none. `now`: with this step's changes.
AsofJoin::Rows::const_iterator AsofJoin::match(const Key& key, std::string_view time, bool now) {
  const Rows& versions = key.rows[1];
  auto at = versions.lower_bound(node_.strict ? time : behind(time));
  while (at != versions.begin()) {
    --at;
    if (at->second.weight + (now ? at->second.change : 0) > 0) return at;
  }
  return versions.end();
}

/// Sorts behind the rows of this time: the bytes of a row begin with a small one.
std::string_view AsofJoin::behind(std::string_view time) {
  scratch_.assign(time);
  scratch_.push_back('\xff');
  return scratch_;
}

/// Changes of one key: first those of left rows that were there and have another version now, then
/// those of left rows themselves.
Status AsofJoin::settle(Key& key) {
  if (!key.rows[0].empty()) TRY(rematch(key));
  for (auto entry : key.touched[1]) entry->second.weight += std::exchange(entry->second.change, 0);
  for (auto entry : key.touched[0]) {
    const Weight change = std::exchange(entry->second.change, 0);
    if (change == 0) continue;
    entry->second.weight += change;
    TRY(show(key, row_of(*entry), match(key, time_of(*entry), true), change));
  }
  return {};
}

Status AsofJoin::rematch(const Key& key) {
  const Rows& left = key.rows[0];
  const Rows& right = key.rows[1];
  auto changed = key.touched[1];
  std::erase_if(changed, [](Rows::iterator entry) { return entry->second.change == 0; });
  std::ranges::sort(changed, [](auto a, auto b) { return a->first < b->first; });
  auto stays =
      right.begin();  // Left rows with this version or a later one have not been looked at.
  for (size_t i = 0; i < changed.size(); ++i) {
    const bool seen = i > 0 && (stays == right.end() || changed[i]->first < stays->first);
    if (seen) continue;
    stays = std::next(Rows::const_iterator(changed[i]));
    while (stays != right.end() && (stays->second.change != 0 || stays->second.weight <= 0))
      ++stays;
    auto first_with = [&](const Rows::value_type& version) {
      return left.lower_bound(node_.strict ? behind(time_of(version)) : time_of(version));
    };
    const auto to = stays == right.end() ? left.end() : first_with(*stays);
    for (auto row = first_with(*changed[i]); row != to; ++row) {
      if (row->second.weight == 0) continue;
      const auto was = match(key, time_of(*row), false);
      const auto is = match(key, time_of(*row), true);
      if (was == is) continue;
      TRY(show(key, row_of(*row), was, -row->second.weight));
      TRY(show(key, row_of(*row), is, row->second.weight));
    }
  }
  return {};
}

Status AsofJoin::show(const Key& key, std::string_view left, Rows::const_iterator right,
                      Weight weight) {
  if (right == key.rows[1].end()) return show_alone(left, weight);
  const size_t to = output_.size();
  TRY(sides_[0].row_encoder.decode_columns(left, sides_[0].targets, output_, to));
  TRY(sides_[1].row_encoder.decode_columns(row_of(*right), sides_[1].targets, output_, to));
  return add_output(weight);
}

Status AsofJoin::show_alone(std::string_view left, Weight weight) {
  if (!node_.keep_left) return {};
  const size_t to = output_.size();
  TRY(sides_[0].row_encoder.decode_columns(left, sides_[0].targets, output_, to));
  for (auto target : sides_[1].targets) {
    duckdb::FlatVector::SetNull(output_.data[static_cast<size_t>(target)], to, true);
  }
  return add_output(weight);
}

Status AsofJoin::add_output(Weight weight) {
  weights_.push_back(weight);
  output_.SetCardinality(weights_.size());
  return weights_.size() == STANDARD_VECTOR_SIZE ? emit_all(output_, weights_) : Status();
}

// A stored row: sized join key, time and row -> svarint weight, varint length of the time, svarint
// the time in micros (INT64_MAX: it is none).
Status AsofJoin::save(StateWriter& writer) {
  for (auto at : unsaved_) {
    ByteWriter head;
    head.sized(at->first);
    std::string stored(as_text(head.view()));
    const size_t prefix = stored.size();
    for (size_t side = 0; side < 2; ++side) {
      for (auto row : at->second.unsaved[side]) {
        Entry& entry = row->second;
        entry.unsaved = false;
        stored.resize(prefix);
        stored += row->first;
        if (entry.weight == 0) {
          if (entry.stored) writer.remove(kSideTags[side], stored);
          bytes_ -= row->first.size() + kRowOverheadBytes;
          at->second.rows[side].erase(row);
          continue;
        }
        ByteWriter value;
        value.svarint(entry.weight);
        value.varint(entry.time_bytes);
        value.svarint(entry.time_us);
        writer.put(kSideTags[side], stored, as_text(value.view()));
        entry.stored = true;
      }
      at->second.unsaved[side].clear();
    }
    if (at->second.rows[0].empty() && at->second.rows[1].empty()) keys_.erase(at);
  }
  unsaved_.clear();
  for (size_t side = 0; side < 2; ++side) let_go(side, writer);
  return {};
}

/// Left rows that are final, and versions that none but final rows have.
void AsofJoin::let_go(size_t side, StateWriter& writer) {
  if (!bounds_[side]) return;
  const int64_t reached = bounds_[side]->reached(context_.watermark);
  while (auto due = due_[side].pop(reached)) {
    auto at = keys_.find(due->thing);
    if (at == keys_.end() || at->second.due_us[side] != due->at_us) continue;
    Rows& rows = at->second.rows[side];
    auto passed = [&](const Rows::value_type& row) {
      return closes_at(row.second.time_us, 0, *bounds_[side]) <= reached;
    };
    // Times without an end come first and last: they stay.
    auto first = rows.begin();
    while (first != rows.end() &&
           closes_at(first->second.time_us, 0, *bounds_[side]) == kNeverCloses)
      ++first;
    auto last = first;
    while (last != rows.end() && passed(*last)) ++last;
    // The next row may still look at the last version before it.
    if (side == 1 && last != first) --last;
    for (auto row = first; row != last;) {
      ByteWriter key;
      key.sized(at->first);
      key.raw(row->first);
      if (row->second.stored) writer.remove(kSideTags[side], as_text(key.view()));
      bytes_ -= row->first.size() + kRowOverheadBytes;
      row = rows.erase(row);
    }
    at->second.due_us[side] = kNeverCloses;
    if (side == 1 && last != rows.end()) ++last;
    if (last != rows.end()) wait(side, at, last->second.time_us);
    if (at->second.rows[0].empty() && at->second.rows[1].empty()) keys_.erase(at);
  }
}

void AsofJoin::wait(size_t side, Keys::iterator key, int64_t time_us) {
  if (!bounds_[side]) return;
  const int64_t at_us = closes_at(time_us, 0, *bounds_[side]);
  if (at_us >= key->second.due_us[side]) return;
  key->second.due_us[side] = at_us;
  due_[side].push(at_us, key->first);
}

Status AsofJoin::load(char tag, std::string_view key, std::string_view value) {
  if (tag != kSideTags[0] && tag != kSideTags[1]) {
    return Error(Code::corrupt, "an ASOF join's row has the unknown tag {}", int{tag});
  }
  const size_t side = tag == kSideTags[0] ? 0 : 1;
  ByteReader head(as_bytes(key));
  const auto name = head.sized();
  const auto row = key.substr(head.position());
  ByteReader in(as_bytes(value));
  Entry entry{.weight = in.svarint(), .stored = true};
  entry.time_bytes = static_cast<uint32_t>(in.varint());
  entry.time_us = in.svarint();
  if (!head.ok() || !in.ok() || entry.time_bytes > row.size()) {
    return Error(Code::corrupt, "a stored row of an ASOF join is damaged");
  }
  auto at = keys_.try_emplace(std::string(name)).first;
  at->second.rows[side].emplace_hint(at->second.rows[side].end(), row, entry);
  bytes_ += row.size() + kRowOverheadBytes;
  wait(side, at, entry.time_us);
  return {};
}

size_t AsofJoin::state_bytes() const { return bytes_ + due_[0].bytes() + due_[1].bytes(); }

}  // namespace ziwa::stream
