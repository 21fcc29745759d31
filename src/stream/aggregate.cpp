#include "stream/aggregate.h"

#include <limits>

namespace ziwa::stream {
namespace {

constexpr size_t kPageRows = 2048;
constexpr int64_t kNeverCloses = std::numeric_limits<int64_t>::max();
constexpr char kGroupTag = 'g';

}  // namespace

/// The head of a group's payload; the accumulators follow.
struct Aggregate::Group {
  int64_t rows = 0;  ///< The hidden count(*).
  int64_t close_us = 0;
  uint32_t touched = 0;  ///< Index in touched_ plus one; 0: not in this step.
  bool shown = false;    ///< It was in the output when the step began.
  bool unsaved = false;  ///< It is in unsaved_.
  bool stored = false;   ///< A checkpoint holds it.
};

Aggregate::~Aggregate() {
  if (table_ == nullptr) return;
  for (KeyTable::Slot slot = 0; slot < table_->slots_end(); ++slot) {
    if (table_->used(slot)) end_group(slot);
  }
}

Aggregate::Group& Aggregate::group(KeyTable::Slot slot) {
  return *reinterpret_cast<Group*>(table_->payload(slot));
}

Result<std::unique_ptr<Aggregate>> Aggregate::create(StageContext& context,
                                                     const AggregateNode& node,
                                                     const std::vector<PlanColumn>& input,
                                                     const std::vector<PlanColumn>& output,
                                                     Options options) {
  std::vector<Expression> expressions = node.groups;
  for (const auto& call : node.calls) {
    if (call.argument) expressions.push_back(*call.argument);
    if (call.filter) expressions.push_back(*call.filter);
  }
  auto evaluator = TRY(Evaluator::compile(context.instance, input, expressions));
  duckdb::vector<duckdb::LogicalType> group_types;
  for (size_t i = 0; i < node.groups.size(); ++i) group_types.push_back(evaluator->types()[i]);
  auto encoder = TRY(data::RowKeyEncoder::create(group_types));
  std::unique_ptr<Aggregate> aggregate(new Aggregate(context, std::move(encoder), options));
  aggregate->evaluator_ = std::move(evaluator);
  aggregate->group_count_ = node.groups.size();
  for (size_t i = 0; i < node.groups.size(); ++i) {
    aggregate->group_columns_.push_back(i);
    aggregate->key_targets_.push_back(static_cast<data::ColumnTarget>(i));
  }
  TRY(aggregate->plan_calls(node, output));
  return aggregate;
}

Status Aggregate::plan_calls(const AggregateNode& node, const std::vector<PlanColumn>& output) {
  auto types = TRY(parse_types(output));
  size_t column = group_count_;
  size_t offset = (sizeof(Group) + 15) / 16 * 16;
  for (size_t i = 0; i < node.calls.size(); ++i) {
    const auto& call = node.calls[i];
    bool set_semantics = call.function == "min" || call.function == "max";
    if (call.distinct && !set_semantics) {
      return Error(Code::unsupported, "{}(DISTINCT ...) cannot be kept incrementally yet",
                   call.function)
          .with_hint("select DISTINCT in a subquery, then aggregate");
    }
    Call planned;
    duckdb::LogicalType argument(duckdb::LogicalTypeId::INVALID);
    if (call.argument) {
      planned.argument = column++;
      argument = evaluator_->types()[*planned.argument];
    }
    if (call.filter) planned.filter = column++;
    planned.accumulator = TRY(Accumulator::create(call.function, argument, options_.append_only));
    const auto& wanted = types[group_count_ + i];
    if (planned.accumulator->result_type() != wanted) {
      return Error(Code::unsupported, "{}({}) gives {}, but the plan says {}", call.function,
                   argument.ToString(), planned.accumulator->result_type().ToString(),
                   wanted.ToString());
    }
    planned.offset = offset;
    offset += (planned.accumulator->state_bytes() + 15) / 16 * 16;
    result_types_.push_back(wanted);
    calls_.push_back(std::move(planned));
  }
  table_ = std::make_unique<KeyTable>(offset);
  // A grouping without results (SELECT DISTINCT as GROUP BY) still needs a chunk to hold rows.
  auto held = result_types_;
  if (held.empty()) held.push_back(duckdb::LogicalType::BOOLEAN);
  after_.Initialize(duckdb::Allocator::DefaultAllocator(), held);
  output_.Initialize(duckdb::Allocator::DefaultAllocator(), types);
  return {};
}

void Aggregate::begin_group(KeyTable::Slot slot, int64_t close_us) {
  group(slot).close_us = close_us;
  for (const auto& call : calls_) call.accumulator->begin(table_->payload(slot) + call.offset);
}

void Aggregate::end_group(KeyTable::Slot slot) {
  for (const auto& call : calls_) call.accumulator->end(table_->payload(slot) + call.offset);
}

int64_t Aggregate::close_time(size_t row) {
  if (!options_.closing) return kNeverCloses;
  auto index = closing_format_.sel->get_index(row);
  if (!closing_format_.validity.RowIsValid(index)) return kNeverCloses;
  int64_t value = reinterpret_cast<const int64_t*>(closing_format_.data)[index];
  if (value > kNeverCloses - options_.closing->add_us) return kNeverCloses;
  return value + options_.closing->add_us;
}

Status Aggregate::consume(size_t, Delta& delta) {
  Delta rows = TRY(evaluator_->run(delta, context_.errors));
  size_t count = rows.size();
  if (count == 0) return {};
  encoder_.encode(evaluator_->output(), group_columns_, keys_);
  if (group_count_ == 0) {
    // One group of all rows, under the empty key.
    auto found = table_->find_or_insert(std::string_view());
    slots_.assign(count, found.slot);
    inserted_.assign(count, 0);
    inserted_[0] = found.inserted ? 1 : 0;
  } else {
    table_->find_or_insert(keys_, slots_, inserted_);
  }
  if (options_.closing) {
    evaluator_->output().data[options_.closing->group].ToUnifiedFormat(count, closing_format_);
  }
  for (size_t row = 0; row < count; ++row) {
    if (inserted_[row] != 0) begin_group(slots_[row], close_time(row));
    if (group(slots_[row]).touched == 0) touch(slots_[row], inserted_[row] != 0);
  }
  update(rows);
  return {};
}

void Aggregate::touch(KeyTable::Slot slot, bool inserted) {
  size_t index = touched_.size();
  if (index / kPageRows == before_.size()) {
    auto page = std::make_unique<duckdb::DataChunk>();
    page->Initialize(duckdb::Allocator::DefaultAllocator(), after_.GetTypes());
    before_.push_back(std::move(page));
  }
  if (index % kPageRows == 0) reset_chunk(*before_[index / kPageRows]);
  Group& head = group(slot);
  head.touched = static_cast<uint32_t>(index + 1);
  if (inserted) head.shown = false;
  if (head.shown) head.shown = results(slot, *before_[index / kPageRows], index % kPageRows);
  if (!head.unsaved) {
    head.unsaved = true;
    unsaved_.push_back(slot);
  }
  touched_.push_back(slot);
}

void Aggregate::update(const Delta& delta) {
  size_t count = delta.size();
  for (size_t row = 0; row < count; ++row) group(slots_[row]).rows += delta.weight(row);
  states_.resize(count);
  auto& columns = evaluator_->output();
  for (const auto& call : calls_) {
    for (size_t row = 0; row < count; ++row) {
      states_[row] = table_->payload(slots_[row]) + call.offset;
    }
    Accumulator::Rows rows{.count = count, .weights = delta.weights, .groups = states_};
    if (call.filter) {
      duckdb::UnifiedVectorFormat format;
      columns.data[*call.filter].ToUnifiedFormat(count, format);
      passes_.resize(count);
      for (size_t row = 0; row < count; ++row) {
        auto index = format.sel->get_index(row);
        passes_[row] = format.validity.RowIsValid(index) && format.data[index] != 0 ? 1 : 0;
      }
      rows.passes = passes_.data();
    }
    call.accumulator->update(call.argument ? &columns.data[*call.argument] : nullptr, rows);
  }
}

bool Aggregate::results(KeyTable::Slot slot, duckdb::DataChunk& out, size_t row) {
  for (size_t i = 0; i < calls_.size(); ++i) {
    const auto* state = table_->payload(slot) + calls_[i].offset;
    if (calls_[i].accumulator->result(state, out.data[i], row)) continue;
    return false;
  }
  return true;
}

Status Aggregate::finish() {
  if (group_count_ == 0 && first_step_ && table_->size() == 0) {
    // Without GROUP BY there is a row even when there is no input.
    auto found = table_->find_or_insert(std::string_view());
    begin_group(found.slot, kNeverCloses);
    touch(found.slot, true);
  }
  first_step_ = false;
  upserts_ = options_.key_is_view_key && targets_take_upserts();
  for (size_t page = 0; page * kPageRows < touched_.size(); ++page) {
    TRY(finish_page(page, std::min(kPageRows, touched_.size() - page * kPageRows)));
  }
  touched_.clear();
  if (before_.size() > 64) before_.resize(64);  // A big step must not hold memory for ever.
  return flush_output();
}

Status Aggregate::finish_page(size_t page, size_t count) {
  reset_chunk(after_);
  const auto& before = *before_[page];
  for (size_t row = 0; row < count; ++row) {
    KeyTable::Slot slot = touched_[page * kPageRows + row];
    Group& head = group(slot);
    head.touched = 0;
    bool was = head.shown;
    bool is = head.rows > 0 || group_count_ == 0;
    if (is && !results(slot, after_, row)) {
      context_.errors.add("a sum is out of the range of its type");
      is = false;
    }
    head.shown = is;
    bool changed = was != is;
    for (size_t i = 0; !changed && was && i < calls_.size(); ++i) {
      changed = !same_value(before.data[i], row, after_.data[i], row);
    }
    if (!changed) continue;
    if (upserts_) {
      add_output(slot, is ? after_ : before, row, (is ? 1 : 0) - (was ? 1 : 0));
    } else {
      if (was) add_output(slot, before, row, -1);
      if (is) add_output(slot, after_, row, 1);
    }
    if (output_.size() + 2 > kPageRows) TRY(flush_output());
  }
  return {};
}

void Aggregate::add_output(KeyTable::Slot slot, const duckdb::DataChunk& results, size_t row,
                           Weight weight) {
  size_t to = output_.size();
  if (group_count_ > 0) {
    auto used = encoder_.decode_columns(table_->key(slot), key_targets_, output_, to);
    CHECK(used.has_value(), "a group key does not decode");
  }
  for (size_t i = 0; i < calls_.size(); ++i) {
    copy_value(results.data[i], row, output_.data[group_count_ + i], to);
  }
  output_weights_.push_back(weight);
  output_.SetCardinality(to + 1);
}

Status Aggregate::flush_output() {
  if (output_.size() == 0) return {};
  Delta delta{.rows = output_, .weights = output_weights_.data()};
  delta.upserts = upserts_;
  Status done = emit(delta);
  reset_chunk(output_);
  output_weights_.clear();
  return done;
}

// A stored group: key -> varint flags (1: shown), svarint rows, svarint close_us, accumulators.
Status Aggregate::save(StateWriter& writer) {
  for (KeyTable::Slot slot : unsaved_) {
    if (!table_->used(slot)) continue;
    Group& head = group(slot);
    if (!head.unsaved) continue;
    head.unsaved = false;
    bool dead = head.rows == 0 && group_count_ > 0;
    bool closed = head.close_us != kNeverCloses &&
                  head.close_us <= context_.watermark(options_.closing->topic);
    if (dead || closed) continue;  // Erased below.
    ByteWriter value;
    value.varint(head.shown ? 1 : 0);
    value.svarint(head.rows);
    value.svarint(head.close_us);
    for (const auto& call : calls_) {
      call.accumulator->save(table_->payload(slot) + call.offset, value);
    }
    writer.put(kGroupTag, table_->key(slot), as_text(value.view()));
    head.stored = true;
  }
  int64_t watermark = options_.closing ? context_.watermark(options_.closing->topic) : kNoWatermark;
  auto erase_if_over = [&](KeyTable::Slot slot) {
    if (!table_->used(slot)) return;
    Group& head = group(slot);
    bool dead = head.rows == 0 && group_count_ > 0;
    bool closed = head.close_us != kNeverCloses && head.close_us <= watermark;
    if (!dead && !closed) return;
    if (head.stored) writer.remove(kGroupTag, table_->key(slot));
    end_group(slot);
    table_->erase(slot);
  };
  if (options_.closing) {
    for (KeyTable::Slot slot = 0; slot < table_->slots_end(); ++slot) erase_if_over(slot);
  } else {
    for (KeyTable::Slot slot : unsaved_) erase_if_over(slot);
  }
  unsaved_.clear();
  return {};
}

Status Aggregate::load(char tag, std::string_view key, std::string_view value) {
  if (tag != kGroupTag) return Error(Code::corrupt, "a group has the unknown tag {}", int{tag});
  auto found = table_->find_or_insert(key);
  if (!found.inserted) return Error(Code::corrupt, "a group is stored twice");
  begin_group(found.slot, 0);
  Group& head = group(found.slot);
  ByteReader in(as_bytes(value));
  head.shown = in.varint() != 0;
  head.rows = in.svarint();
  head.close_us = in.svarint();
  head.stored = true;
  for (const auto& call : calls_) {
    TRY(call.accumulator->load(table_->payload(found.slot) + call.offset, in));
  }
  first_step_ = false;
  return in.status("a stored group");
}

size_t Aggregate::state_bytes() const {
  size_t bytes = table_->bytes();
  if (table_->size() == 0) return bytes;
  for (KeyTable::Slot slot = 0; slot < table_->slots_end(); ++slot) {
    if (!table_->used(slot)) continue;
    size_t owned = 0;
    for (const auto& call : calls_) {
      owned += call.accumulator->owned_bytes(table_->payload(slot) + call.offset);
    }
    return bytes + owned * table_->size();  // An estimate from the first group.
  }
  return bytes;
}

}  // namespace ziwa::stream
