#include "stream/distinct.h"

namespace ziwa::stream {
namespace {

constexpr char kRowTag = 'r';

}  // namespace

struct Distinct::Row {
  Weight weight = 0;
  bool shown = false;
  bool touched = false;
  bool unsaved = false;
  bool stored = false;
};

Distinct::Distinct(data::RowKeyEncoder encoder)
    : encoder_(std::move(encoder)), table_(sizeof(Row)) {}

Result<std::unique_ptr<Distinct>> Distinct::create(const std::vector<PlanColumn>& columns) {
  auto types = TRY(parse_types(columns));
  auto encoder = TRY(data::RowKeyEncoder::create(types));
  std::unique_ptr<Distinct> distinct(new Distinct(std::move(encoder)));
  for (size_t i = 0; i < columns.size(); ++i) {
    distinct->columns_.push_back(i);
    distinct->targets_.push_back(static_cast<data::ColumnTarget>(i));
  }
  distinct->output_.Initialize(duckdb::Allocator::DefaultAllocator(), types);
  return distinct;
}

Status Distinct::consume(size_t, Delta& delta) {
  encoder_.encode(delta.rows, columns_, keys_);
  table_.find_or_insert(keys_, slots_, inserted_);
  for (size_t i = 0; i < delta.size(); ++i) {
    Row& state = row(slots_[i]);
    state.weight += delta.weight(i);
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

Status Distinct::finish() {
  for (KeyTable::Slot slot : touched_) {
    Row& state = row(slot);
    state.touched = false;
    bool is = state.weight > 0;
    if (is == state.shown) continue;
    state.shown = is;
    size_t to = output_.size();
    TRY(encoder_.decode_columns(table_.key(slot), targets_, output_, to));
    weights_.push_back(is ? 1 : -1);
    output_.SetCardinality(to + 1);
    if (output_.size() == STANDARD_VECTOR_SIZE) TRY(flush());
  }
  touched_.clear();
  return flush();
}

Status Distinct::flush() {
  if (output_.size() == 0) return {};
  Delta delta{.rows = output_, .weights = weights_.data()};
  Status done = emit(delta);
  reset_chunk(output_);
  weights_.clear();
  return done;
}

// A stored row: key -> svarint weight.
Status Distinct::save(StateWriter& writer) {
  for (KeyTable::Slot slot : unsaved_) {
    Row& state = row(slot);
    state.unsaved = false;
    if (state.weight == 0) {
      if (state.stored) writer.remove(kRowTag, table_.key(slot));
      table_.erase(slot);
      continue;
    }
    ByteWriter value;
    value.svarint(state.weight);
    writer.put(kRowTag, table_.key(slot), as_text(value.view()));
    state.stored = true;
  }
  unsaved_.clear();
  return {};
}

Status Distinct::load(char tag, std::string_view key, std::string_view value) {
  if (tag != kRowTag)
    return Error(Code::corrupt, "a distinct row has the unknown tag {}", int{tag});
  auto found = table_.find_or_insert(key);
  ByteReader in(as_bytes(value));
  Row& state = row(found.slot);
  state.weight = in.svarint();
  state.shown = state.weight > 0;
  state.stored = true;
  return in.status("a stored row");
}

}  // namespace ziwa::stream
