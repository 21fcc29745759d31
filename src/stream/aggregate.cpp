#include "stream/aggregate.h"

#include "stream/row_errors.h"

#include <algorithm>
#include <limits>
#include <map>

namespace ziwa::stream {
namespace {

constexpr size_t kPageRows = 2048;
constexpr char kGroupTag = 'g';
constexpr char kIndexedGroupTag = 'h';  // Of a node with indexes: min and max are not in it.
constexpr char kEntryTag = 'i';
constexpr uint64_t kShown = 1;  // Flags of a stored group.
constexpr uint64_t kFailed = 2;

size_t round_up(size_t bytes) { return (bytes + 15) / 16 * 16; }

/// One name for functions that have several.
std::string plain_name(const std::string& function) {
  static const std::map<std::string, std::string, std::less<>> kNames = {
      {"mean", "avg"},       {"argmin", "arg_min"},  {"min_by", "arg_min"},
      {"argmax", "arg_max"}, {"max_by", "arg_max"},  {"bool_and", "min"},
      {"bool_or", "max"},    {"arbitrary", "first"}, {"quantile", "quantile_disc"}};
  auto at = kNames.find(function);
  return at == kNames.end() ? function : at->second;
}

std::string entry_prefix(std::string_view group, size_t index) {
  ByteWriter head;
  head.sized(group);
  head.varint(index);
  return std::string(as_text(head.view()));
}

}  // namespace

/// The head of a group's payload; the accumulators follow.
struct Aggregate::Group {
  int64_t rows = 0;  ///< The hidden count(*).
  int64_t close_us = 0;
  uint32_t touched = 0;  ///< Index in touched_ plus one; 0: not in this step.
  bool shown = false;    ///< It was in the output when the step began.
  bool failed = false;   ///< It was a row error instead.
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

Result<std::unique_ptr<Aggregate>> Aggregate::create(StageContext& context, uint32_t node_id,
                                                     const AggregateNode& node,
                                                     const std::vector<PlanColumn>& input,
                                                     const std::vector<PlanColumn>& output,
                                                     Options options) {
  std::vector<Expression> expressions = node.groups;
  auto column_of = [&](const Expression& expression) {
    auto at = std::find(expressions.begin(), expressions.end(), expression);
    if (at == expressions.end()) at = expressions.insert(at, expression);
    return static_cast<size_t>(at - expressions.begin());
  };
  std::vector<size_t> filters;
  std::vector<Bound> calls;
  for (const auto& call : node.calls) {
    Bound bound{.call = call, .function = plain_name(call.function)};
    for (const auto& argument : call.arguments) bound.arguments.push_back(column_of(argument));
    for (const auto& order : call.order_by) {
      bound.order.push_back({.column = column_of(order.expression),
                             .descending = order.descending,
                             .nulls_first = order.nulls_first});
    }
    if (call.filter) {
      size_t column = column_of(*call.filter);
      auto at = std::find(filters.begin(), filters.end(), column);
      bound.filter = static_cast<size_t>(at - filters.begin());
      if (at == filters.end()) filters.push_back(column);
    }
    calls.push_back(std::move(bound));
  }
  auto evaluator = TRY(Evaluator::compile(context, node_id, input, expressions));
  duckdb::vector<duckdb::LogicalType> group_types;
  for (size_t i = 0; i < node.groups.size(); ++i) group_types.push_back(evaluator->types()[i]);
  auto encoder = TRY(data::RowKeyEncoder::create(group_types));
  std::unique_ptr<Aggregate> aggregate(
      new Aggregate(context, node_id, std::move(encoder), options));
  aggregate->evaluator_ = std::move(evaluator);
  aggregate->filters_ = std::move(filters);
  aggregate->group_count_ = node.groups.size();
  for (size_t i = 0; i < node.groups.size(); ++i) {
    aggregate->group_columns_.push_back(i);
    aggregate->group_names_.push_back(output[i].name);
    aggregate->key_targets_.push_back(static_cast<data::ColumnTarget>(i));
  }
  TRY(aggregate->plan_calls(calls, output));
  return aggregate;
}

Status Aggregate::plan_calls(const std::vector<Bound>& calls,
                             const std::vector<PlanColumn>& output) {
  auto types = TRY(parse_types(output));
  passes_.resize(filters_.size());
  size_t offset = round_up(sizeof(Group));
  for (size_t i = 0; i < calls.size(); ++i) {
    const auto& wanted = types[group_count_ + i];
    Call planned = TRY(plan_call(calls[i], wanted));
    if (planned.accumulator) {
      planned.offset = offset;
      offset += round_up(planned.accumulator->state_bytes());
    }
    result_types_.push_back(wanted);
    calls_.push_back(std::move(planned));
  }
  for (auto& index : indexes_) {
    index.offset = offset;
    offset += round_up(GroupIndex::kStateBytes);
  }
  table_ = std::make_unique<KeyTable>(offset);
  // A grouping without results (SELECT DISTINCT as GROUP BY) still needs a chunk to hold rows.
  auto held = result_types_;
  if (held.empty()) held.push_back(duckdb::LogicalType::BOOLEAN);
  after_.Initialize(duckdb::Allocator::DefaultAllocator(), held);
  output_.Initialize(duckdb::Allocator::DefaultAllocator(), types);
  return {};
}

Result<Aggregate::Call> Aggregate::plan_call(const Bound& bound,
                                             const duckdb::LogicalType& wanted) {
  const std::string& function = bound.function;
  if (never_defined(function) ||
      (needs_order(function, bound.call.distinct) && bound.order.empty())) {
    return Error(Code::unsupported, "{}() has no defined answer here", bound.call.function);
  }
  Call planned;
  planned.filter = bound.filter;
  if (!TRY(plan_accumulator(bound, planned)) && !TRY(plan_end(bound, planned))) {
    TRY(plan_program(bound, planned));
  }
  auto given =
      planned.accumulator ? planned.accumulator->result_type() : planned.reader->result_type();
  if (given == wanted) return planned;
  return Error(Code::unsupported, "{}() gives {}, but the plan says {}", bound.call.function,
               given.ToString(), wanted.ToString());
}

/// In which order a call sees its rows: arg_min's by its second argument, ...
std::vector<OrderKey::Column> Aggregate::row_order(const Bound& bound) {
  auto order = bound.order;
  if (bound.function.starts_with("arg_m") && bound.arguments.size() > 1) {
    order.insert(order.begin(), {.column = bound.arguments[1],
                                 .descending = bound.function.starts_with("arg_max")});
  }
  if (bound.function == "last") {
    for (auto& one : order) {
      one.descending = !one.descending;
      one.nulls_first = !one.nulls_first;
    }
  }
  return order;
}

/// count, sum and avg; min and max of what only grows.
Result<bool> Aggregate::plan_accumulator(const Bound& bound, Call& planned) {
  if (bound.arguments.size() > 1 || !bound.call.constants.empty()) return false;
  duckdb::LogicalType type(duckdb::LogicalTypeId::INVALID);
  if (!bound.arguments.empty()) type = evaluator_->types()[bound.arguments[0]];
  if (bound.arguments.empty() != (bound.function == "count_star")) return false;
  auto made = Accumulator::create(bound.function, type, options_.append_only);
  if (!made.has_value()) return false;
  planned.accumulator = std::move(*made);
  if (!bound.arguments.empty()) planned.argument = bound.arguments[0];
  bool each_once = bound.call.distinct && bound.function != "min" && bound.function != "max";
  if (!each_once) return true;
  TRY(use_index({.order = {}, .arguments = bound.arguments, .skip_null_arguments = true},
                bound.filter, planned));
  return true;
}

/// Calls whose answer is the first argument of one row: the first or the last of an order.
Result<bool> Aggregate::plan_end(const Bound& bound, Call& planned) {
  const std::string& function = bound.function;
  CallIndex::Spec spec{.order = {}, .arguments = bound.arguments};
  bool last = function == "max";
  if (function == "min" || function == "max") {
    if (bound.arguments.size() != 1) return false;
    spec.skip_null_arguments = true;
  } else if (function.starts_with("arg_m")) {
    if (bound.arguments.size() != 2 || function.ends_with("_nulls_last")) return false;
    spec.arguments.pop_back();
    spec.order = row_order(bound);
    spec.exact = true;
    spec.skip_null_order = true;
    spec.skip_null_arguments = !function.ends_with("_null");
  } else if (function == "first" || function == "any_value" || function == "last") {
    if (bound.arguments.size() != 1) return false;
    spec.order = row_order(bound);
    spec.exact = true;
    spec.skip_null_arguments = function == "any_value";
  } else {
    return false;
  }
  if (!last && options_.append_only) {
    spec.first_only = true;
    spec.first_filter = bound.filter;
  }
  if (spec.order.empty() && !data::RowKeyEncoder::create({evaluator_->types()[spec.arguments[0]]}))
    return false;
  TRY(use_index(std::move(spec), bound.filter, planned));
  planned.reader = IndexReader::end_of(indexes_[*planned.index].rows, last);
  return true;
}

/// Every other function: DuckDB's own over the rows of a touched group.
Status Aggregate::plan_program(const Bound& bound, Call& planned) {
  duck::AggregateProgram::Call call{
      .function = bound.function, .columns = {}, .constants = bound.call.constants};
  for (size_t column : bound.arguments) call.columns.push_back(evaluator_->types()[column]);
  if (bound.arguments.empty()) {
    return Error(Code::unsupported, "{}() without an argument cannot be kept", bound.call.function);
  }
  auto program = TRY(duck::AggregateProgram::create(context_.instance, call));
  bool quantile = bound.function == "median" || bound.function.starts_with("quantile");
  bool nested = !data::RowKeyEncoder::create(call.columns).has_value();
  CallIndex::Spec spec{.order = quantile ? std::vector<OrderKey::Column>() : row_order(bound),
                       .arguments = bound.arguments,
                       .exact = !bound.call.distinct && (nested || !bound.order.empty()),
                       .skip_null_arguments = quantile};
  TRY(use_index(std::move(spec), bound.filter, planned));
  const CallIndex& index = indexes_[*planned.index].rows;
  if (!bound.call.distinct) {
    planned.reader = IndexReader::quantile(program, bound.function, index);
  }
  if (!planned.reader) {
    planned.reader = IndexReader::whole(std::move(program), index, bound.call.distinct);
  }
  return {};
}

Status Aggregate::use_index(CallIndex::Spec spec, std::optional<size_t> filter, Call& planned) {
  size_t at = 0;
  while (at < indexes_.size() && indexes_[at].rows.spec() != spec) ++at;
  if (at == indexes_.size()) {
    indexes_.push_back({.rows = TRY(CallIndex::create(std::move(spec), evaluator_->types()))});
  }
  planned.index = at;
  planned.lane = indexes_[at].rows.lane(filter);
  return {};
}

void Aggregate::begin_group(KeyTable::Slot slot, int64_t close_us) {
  group(slot).close_us = close_us;
  for (const auto& call : calls_) {
    if (call.accumulator) call.accumulator->begin(table_->payload(slot) + call.offset);
  }
}

void Aggregate::end_group(KeyTable::Slot slot) {
  for (const auto& call : calls_) {
    if (call.accumulator) call.accumulator->end(table_->payload(slot) + call.offset);
  }
  for (auto& index : indexes_) index.rows.groups().end(table_->payload(slot) + index.offset);
}

int64_t Aggregate::close_time(size_t row) {
  if (!options_.closing) return kNeverCloses;
  auto index = closing_format_.sel->get_index(row);
  if (!closing_format_.validity.RowIsValid(index)) return kNeverCloses;
  return closes_at(reinterpret_cast<const int64_t*>(closing_format_.data)[index], 0,
                   options_.closing->bound);
}

/// Windows that end up to this time have closed.
int64_t Aggregate::reached() const {
  return options_.closing ? options_.closing->bound.reached(context_.watermark) : kNoWatermark;
}

/// When the window of a group has ended, though late rows may join it for some time.
int64_t Aggregate::end_of(const Group& group) const {
  if (group.close_us == kNeverCloses) return kNeverCloses;
  return group.close_us - options_.closing->bound.lateness_us();
}

Status Aggregate::consume(size_t, Delta& delta) {
  Delta rows = TRY(evaluator_->run(delta));
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
    evaluator_->output().data[options_.closing->position].ToUnifiedFormat(count, closing_format_);
  }
  for (size_t row = 0; row < count; ++row) {
    if (inserted_[row] != 0) {
      begin_group(slots_[row], close_time(row));
      if (options_.on_close) open_[end_of(group(slots_[row]))].push_back(slots_[row]);
    }
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
  if (inserted) head.shown = head.failed = false;
  if (head.shown || head.failed) {
    Status before = results(slot, *before_[index / kPageRows], index % kPageRows);
    if (!before) report(slot, before.error(), -1);
    head.shown = before.has_value();
    head.failed = false;
  }
  if (!head.unsaved) {
    head.unsaved = true;
    unsaved_.push_back(slot);
  }
  touched_.push_back(slot);
}

void Aggregate::find_passes() {
  auto& columns = evaluator_->output();
  for (size_t i = 0; i < filters_.size(); ++i) {
    duckdb::UnifiedVectorFormat format;
    columns.data[filters_[i]].ToUnifiedFormat(columns.size(), format);
    passes_[i].resize(columns.size());
    for (size_t row = 0; row < columns.size(); ++row) {
      auto index = format.sel->get_index(row);
      passes_[i][row] = format.validity.RowIsValid(index) && format.data[index] != 0 ? 1 : 0;
    }
  }
}

void Aggregate::update(const Delta& delta) {
  size_t count = delta.size();
  for (size_t row = 0; row < count; ++row) group(slots_[row]).rows += delta.weight(row);
  states_.resize(count);
  find_passes();
  for (const auto& call : calls_) {
    if (call.accumulator && !call.index) update_call(call, delta.weights, call.filter);
  }
  for (auto& index : indexes_) {
    for (size_t row = 0; row < count; ++row) {
      states_[row] = table_->payload(slots_[row]) + index.offset;
    }
    index.rows.update({.columns = evaluator_->output(),
                       .weights = delta.weights,
                       .passes = passes_,
                       .groups = states_});
  }
  for (const auto& call : calls_) {  // Of each value once: what came and what went.
    if (!call.accumulator || !call.index) continue;
    update_call(call, indexes_[*call.index].rows.crossings(call.lane), std::nullopt);
  }
}

void Aggregate::update_call(const Call& call, const Weight* weights, std::optional<size_t> filter) {
  auto& columns = evaluator_->output();
  for (size_t row = 0; row < columns.size(); ++row) {
    states_[row] = table_->payload(slots_[row]) + call.offset;
  }
  Accumulator::Rows rows{.count = columns.size(), .weights = weights, .groups = states_};
  if (filter) rows.passes = passes_[*filter].data();
  call.accumulator->update(call.argument ? &columns.data[*call.argument] : nullptr, rows);
}

Status Aggregate::results(KeyTable::Slot slot, duckdb::DataChunk& out, size_t row) {
  for (size_t i = 0; i < calls_.size(); ++i) {
    const Call& call = calls_[i];
    if (call.reader) {
      const Index& index = indexes_[*call.index];
      TRY(call.reader->result(index.rows, table_->payload(slot) + index.offset, call.lane,
                              out.data[i], row));
    } else if (!call.accumulator->result(table_->payload(slot) + call.offset, out.data[i], row)) {
      return Error(Code::invalid_argument, "a sum is out of the range of its type");
    }
  }
  return {};
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
  watermark_ = options_.on_close ? reached() : kNoWatermark;
  if (options_.on_close) touch_ended(watermark_);
  for (size_t page = 0; page * kPageRows < touched_.size(); ++page) {
    TRY(finish_page(page, std::min(kPageRows, touched_.size() - page * kPageRows)));
  }
  touched_.clear();
  if (before_.size() > 64) before_.resize(64);  // A big step must not hold memory for ever.
  return emit_all(output_, output_weights_, upserts_);
}

/// Groups whose window has ended since the last step are given now, also those without new rows.
void Aggregate::touch_ended(int64_t watermark) {
  while (!open_.empty() && open_.begin()->first <= watermark) {
    for (KeyTable::Slot slot : open_.begin()->second) {
      // A session that grew left its group, and another may have the slot.
      const bool same = table_->used(slot) && end_of(group(slot)) == open_.begin()->first;
      if (same && group(slot).touched == 0) touch(slot, false);
    }
    open_.erase(open_.begin());
  }
}

Status Aggregate::finish_page(size_t page, size_t count) {
  reset_chunk(after_);
  const auto& before = *before_[page];
  for (size_t row = 0; row < count; ++row) {
    KeyTable::Slot slot = touched_[page * kPageRows + row];
    Group& head = group(slot);
    head.touched = 0;
    if (options_.on_close && end_of(head) > watermark_) continue;
    bool was = head.shown;
    bool is = head.rows > 0 || group_count_ == 0;
    if (is) {
      Status done = results(slot, after_, row);
      if (!done) report(slot, done.error(), 1);
      head.failed = !done;
      is = done.has_value();
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
    if (output_.size() + 2 > kPageRows) {
      TRY(emit_all(output_, output_weights_, upserts_));
    }
  }
  return {};
}

void Aggregate::report(KeyTable::Slot slot, const Error& error, Weight weight) {
  if (context_.errors == nullptr) return;
  std::string text = "{}";
  if (group_count_ > 0) {
    const auto types = output_.GetTypes();
    duckdb::DataChunk key;
    key.Initialize(duckdb::Allocator::DefaultAllocator(),
                   {types.begin(), types.begin() + static_cast<ptrdiff_t>(group_count_)});
    auto used = encoder_.decode_columns(table_->key(slot), key_targets_, key, 0);
    CHECK(used.has_value(), "a group key does not decode");
    key.SetCardinality(1);
    text = row_to_json(group_names_, key, 0);
  }
  context_.errors->add(
      {.node = node_id_, .message = error.message(), .row = text, .weight = weight});
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

char Aggregate::group_tag() const { return indexes_.empty() ? kGroupTag : kIndexedGroupTag; }

// A stored group: key -> varint flags (1: shown, 2: failed), svarint rows, svarint close_us,
// accumulators. An entry of its indexes: sized key of the group, varint number of the index, entry
// -> svarint weight per lane.
void Aggregate::save_group(KeyTable::Slot slot, StateWriter& writer) {
  Group& head = group(slot);
  ByteWriter value;
  value.varint((head.shown ? kShown : 0) | (head.failed ? kFailed : 0));
  value.svarint(head.rows);
  value.svarint(head.close_us);
  for (const auto& call : calls_) {
    if (call.accumulator) {
      call.accumulator->save(table_->payload(slot) + call.offset, value);
    }
  }
  writer.put(group_tag(), table_->key(slot), as_text(value.view()));
  head.stored = true;
  for (size_t i = 0; i < indexes_.size(); ++i) {
    auto& groups = indexes_[i].rows.groups();
    std::string stored = entry_prefix(table_->key(slot), i);
    size_t prefix = stored.size();
    auto full = [&](std::string_view entry) -> std::string_view {
      stored.resize(prefix);
      return stored.append(entry);
    };
    groups.save(
        table_->payload(slot) + indexes_[i].offset,
        [&](std::string_view entry, const Weight* weights) {
          ByteWriter lanes;
          for (size_t lane = 0; lane < groups.lanes(); ++lane) lanes.svarint(weights[lane]);
          writer.put(kEntryTag, full(entry), as_text(lanes.view()));
        },
        [&](std::string_view entry) { writer.remove(kEntryTag, full(entry)); });
  }
}

void Aggregate::erase_group(KeyTable::Slot slot, StateWriter& writer) {
  if (group(slot).stored) {
    writer.remove(group_tag(), table_->key(slot));
    for (size_t i = 0; i < indexes_.size(); ++i) {
      std::string prefix = entry_prefix(table_->key(slot), i);
      indexes_[i].rows.groups().visit_stored(
          table_->payload(slot) + indexes_[i].offset,
          [&](std::string_view entry) { writer.remove(kEntryTag, prefix + std::string(entry)); });
    }
  }
  end_group(slot);
  table_->erase(slot);
}

Status Aggregate::save(StateWriter& writer) {
  const int64_t watermark = reached();
  auto over = [&](const Group& head) {
    bool dead = head.rows == 0 && group_count_ > 0;
    return dead || (head.close_us != kNeverCloses && head.close_us <= watermark);
  };
  for (KeyTable::Slot slot : unsaved_) {
    if (!table_->used(slot)) continue;
    Group& head = group(slot);
    if (!head.unsaved) continue;
    head.unsaved = false;
    if (!over(head)) save_group(slot, writer);  // The others are erased below.
  }
  auto erase_if_over = [&](KeyTable::Slot slot) {
    if (table_->used(slot) && over(group(slot))) erase_group(slot, writer);
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
  if (tag == group_tag()) return load_group(key, value);
  if (tag == kEntryTag && !indexes_.empty()) return load_entry(key, value);
  if (tag == kGroupTag) {
    return Error(Code::unsupported,
                 "the state of a min, max or another aggregate was stored by an older version")
        .with_hint("drop the view and create it again");
  }
  return Error(Code::corrupt, "a group has the unknown tag {}", int{tag});
}

Status Aggregate::load_group(std::string_view key, std::string_view value) {
  auto found = table_->find_or_insert(key);
  if (!found.inserted) return Error(Code::corrupt, "a group is stored twice");
  begin_group(found.slot, 0);
  Group& head = group(found.slot);
  ByteReader in(as_bytes(value));
  const uint64_t flags = in.varint();
  head.shown = (flags & kShown) != 0;
  head.failed = (flags & kFailed) != 0;
  head.rows = in.svarint();
  head.close_us = in.svarint();
  head.stored = true;
  for (const auto& call : calls_) {
    if (!call.accumulator) continue;
    TRY(call.accumulator->load(table_->payload(found.slot) + call.offset, in));
  }
  first_step_ = false;
  if (options_.on_close && !head.shown) open_[end_of(head)].push_back(found.slot);
  return in.status("a stored group");
}

Status Aggregate::load_entry(std::string_view key, std::string_view value) {
  ByteReader head(as_bytes(key));
  auto slot = table_->find(head.sized());
  auto number = head.varint();
  if (!head.ok() || slot == KeyTable::kNone || number >= indexes_.size()) {
    return Error(Code::corrupt, "a value is stored of a group that is not");
  }
  Index& index = indexes_[number];
  std::vector<Weight> weights(index.rows.groups().lanes());
  ByteReader in(as_bytes(value));
  for (auto& weight : weights) weight = in.svarint();
  TRY(in.status("a stored value of a group"));
  return index.rows.groups().load(table_->payload(slot) + index.offset, key.substr(head.position()),
                                  weights.data());
}

std::optional<OpenWindow> Aggregate::open_window() const {
  if (!options_.closing) return std::nullopt;
  int64_t first = kNeverCloses;
  if (options_.on_close) {
    if (!open_.empty()) first = open_.begin()->first;
  } else {
    const int64_t watermark = reached();
    for (KeyTable::Slot slot = 0; slot < table_->slots_end(); ++slot) {
      if (!table_->used(slot)) continue;
      const auto& head = *reinterpret_cast<const Group*>(table_->payload(slot));
      if (head.close_us > watermark) first = std::min(first, head.close_us);
    }
  }
  if (first == kNeverCloses) return std::nullopt;
  const auto& bound = options_.closing->bound;
  const auto& slowest = bound.slowest(context_.watermark);
  return OpenWindow{.topic = slowest.topic, .closes_us = first + slowest.add_us - bound.add_us()};
}

size_t Aggregate::state_bytes() const {
  size_t bytes = table_->bytes();
  for (const auto& index : indexes_) bytes += index.rows.groups().bytes();
  for (KeyTable::Slot slot = 0; slot < table_->slots_end() && table_->size() > 0; ++slot) {
    if (!table_->used(slot)) continue;
    size_t owned = 0;
    for (const auto& call : calls_) {
      if (!call.accumulator) continue;
      owned += call.accumulator->owned_bytes(table_->payload(slot) + call.offset);
    }
    return bytes + owned * table_->size();  // An estimate from the first group.
  }
  return bytes;
}

}  // namespace ziwa::stream
