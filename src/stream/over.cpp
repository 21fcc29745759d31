#include "stream/over.h"

#include "stream/row_errors.h"

#include <fmt/format.h>

#include <algorithm>

namespace ziwa::stream {
namespace {

constexpr char kRowTag = 'r';
constexpr char kErrorTag = 'e';
constexpr size_t kRowOverheadBytes = 144;
constexpr size_t kAnswerOverheadBytes = 32;
constexpr size_t kRowsAtOnce = 20'000;  // That DuckDB is asked about, and the rest of a partition.

/// The value of an expression that no row decides.
std::optional<int64_t> constant_of(duck::Instance& instance, const Expression& expression) {
  auto program = duck::ExpressionProgram::compile(
      instance, {{.name = "no_column", .type = duckdb::LogicalType::BIGINT}}, {expression});
  if (!program || !(*program)->output_types()[0].IsIntegral()) return std::nullopt;
  duckdb::DataChunk in;
  duckdb::DataChunk out;
  in.Initialize(duckdb::Allocator::DefaultAllocator(), {duckdb::LogicalType::BIGINT});
  in.SetCardinality(1);
  in.SetValue(0, 0, duckdb::Value(duckdb::LogicalType::BIGINT));
  out.Initialize(duckdb::Allocator::DefaultAllocator(), (*program)->output_types());
  if (!(*program)->execute(in, out)) return std::nullopt;
  auto value = out.GetValue(0, 0);
  if (value.IsNull()) return std::nullopt;
  return value.DefaultCastAs(duckdb::LogicalType::BIGINT).GetValue<int64_t>();
}

/// Spells calls for a program whose column 0 is the partition; expressions become its other
/// columns.
class Speller {
 public:
  Speller(const OverNode& node, std::vector<Expression>& expressions)
      : node_(node), expressions_(expressions) {}

  std::string operator()(const OverNode::Call& call) {
    const auto* function = window_function(call.call.function);
    const bool framed = function == nullptr || function->has_frame;
    std::vector<std::string> arguments;
    for (const auto& argument : call.call.arguments) arguments.push_back(column(argument));
    for (const auto& constant : call.call.constants) arguments.push_back(constant);
    std::string text =
        call.call.function == "count_star"
            ? std::string("count(*")
            : fmt::format("\"{}\"({}{}", call.call.function, call.call.distinct ? "DISTINCT " : "",
                          fmt::join(arguments, ", "));
    std::string inner = orders(call.call.order_by);
    // Rows that are equal in the order of the window are all in such a frame: which one is first?
    const bool among_equals = framed && !by_rows(call.frame) && needs_row_order(call);
    if (!inner.empty() || among_equals) inner += inner.empty() ? "number" : ", number";
    if (!inner.empty()) text += " ORDER BY " + inner;
    if (call.ignore_nulls) text += " IGNORE NULLS";
    text += ")";
    if (call.call.filter) text += fmt::format(" FILTER ({})", column(*call.call.filter));
    text += " OVER (PARTITION BY c0";
    std::string order = orders(node_.order);
    const bool of_equals = framed ? !by_rows(call.frame) : function->of_peers;
    if (!order.empty() && !of_equals) order += ", number";
    if (!order.empty()) text += " ORDER BY " + order;
    if (framed) {
      WindowFrame frame = call.frame;
      for (auto* bound : {&frame.start, &frame.end}) {
        if (!bound->offset.empty()) bound->offset = column(bound->offset);
      }
      text += " " + frame_text(frame);
    }
    return text + ")";
  }

 private:
  std::string column(const Expression& expression) {
    auto at = std::find(expressions_.begin(), expressions_.end(), expression);
    if (at == expressions_.end()) at = expressions_.insert(at, expression);
    return fmt::format("c{}", at - expressions_.begin() + 1);
  }
  std::string orders(const std::vector<SortOrder>& orders) {
    std::string text;
    for (const auto& order : orders) {
      text += fmt::format("{}{} {} NULLS {}", text.empty() ? "" : ", ", column(order.expression),
                          order.descending ? "DESC" : "ASC", order.nulls_first ? "FIRST" : "LAST");
    }
    return text;
  }

  const OverNode& node_;
  std::vector<Expression>& expressions_;
};

}  // namespace

std::optional<Over::Reach> Over::reach_of(StageContext& context, const OverNode& node) {
  Reach reach;
  auto widen = [&](int64_t offset) {  // Of a row that is looked at; positive: after.
    auto& side = offset < 0 ? reach.before : reach.after;
    side = std::max(side, static_cast<uint64_t>(offset < 0 ? -offset : offset));
  };
  constexpr int64_t kFar = 100'000;
  for (const auto& call : node.calls) {
    const auto& name = call.call.function;
    const auto* function = window_function(name);
    if (name == "lag" || name == "lead") {
      std::optional<int64_t> offset = 1;
      if (call.call.arguments.size() > 1) {
        offset = constant_of(context.instance, call.call.arguments[1]);
      }
      if (!offset || call.ignore_nulls || *offset > kFar || *offset < -kFar) return std::nullopt;
      widen(name == "lag" ? -*offset : *offset);
      continue;
    }
    if (function != nullptr && !function->has_frame) return std::nullopt;
    if (!by_rows(call.frame)) return std::nullopt;
    for (const auto* bound : {&call.frame.start, &call.frame.end}) {
      if (bound->kind == WindowFrame::Kind::unbounded) return std::nullopt;
      if (bound->kind == WindowFrame::Kind::current_row) continue;
      auto offset = constant_of(context.instance, bound->offset);
      if (!offset || *offset > kFar || *offset < 0) return std::nullopt;
      widen(bound->kind == WindowFrame::Kind::preceding ? -*offset : *offset);
    }
  }
  return reach;
}

Result<std::unique_ptr<Over>> Over::create(StageContext& context, uint32_t node_id,
                                           const OverNode& node,
                                           const std::vector<PlanColumn>& input,
                                           const std::vector<PlanColumn>& output,
                                           std::optional<BoundColumn> closing) {
  std::vector<Expression> expressions = node.partition_by;
  for (const auto& order : node.order) expressions.push_back(order.expression);
  Speller spell(node, expressions);
  std::vector<std::string> calls;
  for (const auto& call : node.calls) {
    TRY(check_over(node, call));
    calls.push_back(spell(call));
  }
  auto evaluator = TRY(Evaluator::compile(context, node_id, input, expressions));
  const auto& types = evaluator->types();
  duckdb::vector<duckdb::LogicalType> columns = {duckdb::LogicalType::UBIGINT};
  columns.insert(columns.end(), types.begin(), types.end());
  auto program = TRY(duck::WindowProgram::create(context.instance, columns, calls));
  auto input_types = TRY(parse_types(input));
  auto output_types = TRY(parse_types(output));
  auto expected = input_types;
  expected.insert(expected.end(), program->result_types().begin(), program->result_types().end());
  if (expected != output_types) {
    return Error(Code::invalid_argument, "window functions have the wrong output columns");
  }
  duckdb::vector<duckdb::LogicalType> partition_types(
      types.begin(), types.begin() + static_cast<ptrdiff_t>(node.partition_by.size()));
  std::unique_ptr<Over> over(
      new Over(context, node_id, node, TRY(data::RowKeyEncoder::create(partition_types)),
               TRY(OrderKey::create(node.order, node.partition_by.size(), types)),
               TRY(data::RowEncoder::create(input_types)),
               TRY(data::RowEncoder::create(program->result_types())),
               TRY(ClosingKeys::create(context, closing, partition_types))));
  over->reach_ = reach_of(context, node);
  over->partition_types_ = partition_types;
  for (size_t i = 0; i < node.partition_by.size(); ++i) {
    over->partition_columns_.push_back(i);
    const auto* column = find_column(input, node.partition_by[i]);
    over->partition_names_.push_back(column == nullptr ? node.partition_by[i] : column->name);
  }
  for (size_t i = 0; i < input.size(); ++i) {
    over->row_columns_.push_back(i);
    over->row_targets_.push_back(static_cast<data::ColumnTarget>(i));
  }
  for (size_t i = 0; i < calls.size(); ++i) {
    over->answer_columns_.push_back(i + 1);
    over->answer_targets_.push_back(static_cast<data::ColumnTarget>(input.size() + i));
  }
  over->evaluator_ = std::move(evaluator);
  over->program_ = std::move(program);
  auto& allocator = duckdb::Allocator::DefaultAllocator();
  over->rows_.Initialize(allocator, input_types);
  over->columns_.InitializeEmpty(columns);
  over->columns_.data[0].Initialize();
  over->output_.Initialize(allocator, output_types);
  return over;
}

Result<Over::Partitions::iterator> Over::partition_of(std::string_view name) {
  auto at = partitions_.find(name);
  if (at != partitions_.end()) return at;
  TRY(closing_.watch(name));
  at = partitions_.emplace(name, Partition()).first;
  at->second.name = at->first;
  return at;
}

Status Over::consume(size_t, Delta& delta) {
  Delta rows = TRY(evaluator_->run(delta));
  if (rows.size() == 0) return {};
  auto& computed = evaluator_->output();
  partition_encoder_.encode(computed, partition_columns_, partition_keys_);
  row_encoder_.encode(rows.rows, row_columns_, row_bytes_);
  order_key_.encode(computed);
  for (size_t row = 0; row < rows.size(); ++row) {
    auto name = node_.partition_by.empty() ? std::string_view() : partition_keys_[row];
    auto at = TRY(partition_of(name));
    Partition& partition = at->second;
    if (partition.touched.empty()) touched_.push_back(at);
    key_.clear();
    order_key_.append(row, key_);
    auto order_bytes = static_cast<uint32_t>(key_.size());
    key_.append(row_bytes_[row]);
    auto entry = partition.rows.lower_bound(key_);
    if (entry == partition.rows.end() || entry->first != key_) {
      entry = partition.rows.emplace_hint(entry, key_, Entry{.order_bytes = order_bytes});
      bytes_ += key_.size() + kRowOverheadBytes;
    }
    entry->second.weight += rows.weight(row);
    if (entry->second.touched) continue;
    entry->second.touched = true;
    partition.touched.push_back(entry);
    if (partition.unsaved.empty()) unsaved_.push_back(at);
    mark_unsaved(partition, entry);
  }
  return {};
}

void Over::mark_unsaved(Partition& partition, Rows::iterator entry) {
  if (entry->second.unsaved) return;
  entry->second.unsaved = true;
  partition.unsaved.push_back(entry);
}

Status Over::finish() {
  jobs_.clear();
  for (auto at : touched_) {
    for (auto entry : at->second.touched) {
      entry->second.touched = false;
      auto keep = static_cast<size_t>(std::max<Weight>(entry->second.weight, 0));
      TRY(drop_answers(at->second, entry, keep));
    }
    add_jobs(at->second);
    at->second.touched.clear();
  }
  touched_.clear();
  TRY(ask());
  return emit_all(output_, weights_);
}

void Over::add_jobs(Partition& partition) {
  auto begin = partition.rows.begin();
  auto end = partition.rows.end();
  if (!reach_ || partition.failed) {
    partition.failed = false;
    report(partition, "");
    jobs_.push_back({&partition, begin, begin, end, end});
    return;
  }
  auto back = [&](Rows::iterator at, uint64_t rows) {
    while (rows > 0 && at != begin) {
      --at;
      if (at->second.weight > 0) --rows;
    }
    return at;
  };
  auto forth = [&](Rows::iterator at, uint64_t rows) {
    while (rows > 0 && at != end) {
      if (at->second.weight > 0) --rows;
      ++at;
    }
    return at;
  };
  auto before = [&](Rows::iterator a, Rows::iterator b) {
    return a != end && (b == end || a->first < b->first);
  };
  std::ranges::sort(partition.touched, before);
  const size_t first_job = jobs_.size();
  for (auto changed : partition.touched) {
    // A row that looks `before` rows back is reached from that many rows before it.
    Job job{.partition = &partition,
            .from = {},
            .first = back(changed, reach_->after),
            .last = forth(std::next(changed), reach_->before),
            .to = {}};
    job.from = back(job.first, reach_->before);
    job.to = forth(job.last, reach_->after);
    if (jobs_.size() > first_job && !before(jobs_.back().to, job.from)) {
      if (before(jobs_.back().last, job.last)) jobs_.back().last = job.last;
      if (before(jobs_.back().to, job.to)) jobs_.back().to = job.to;
    } else {
      jobs_.push_back(job);
    }
  }
}

/// As many jobs at once as have some rows together.
Status Over::ask() {
  for (size_t first = 0; first < jobs_.size();) {
    size_t last = first;
    asked_.clear();
    while (last < jobs_.size() && asked_.size() < kRowsAtOnce) {
      TRY(add_rows(jobs_[last], last));
      ++last;
    }
    TRY(run(first, last));
    first = last;
  }
  asked_.clear();
  return {};
}

Status Over::add_rows(const Job& job, size_t number) {
  if (job.partition->failed) return {};  // Another job of it said so: all of it is asked next time.
  bool wanted = false;
  for (auto entry = job.from; entry != job.to; ++entry) {
    wanted = (wanted || entry == job.first) && entry != job.last;
    for (Weight i = 0; i < entry->second.weight; ++i) {
      asked_.push_back({entry, static_cast<size_t>(i), number, wanted});
      job_numbers_.push_back(number);
      auto row = std::string_view(entry->first).substr(entry->second.order_bytes);
      TRY(row_encoder_.decode_columns(row, row_targets_, rows_, rows_.size()));
      rows_.SetCardinality(rows_.size() + 1);
      if (rows_.size() == STANDARD_VECTOR_SIZE) TRY(flush_rows());
    }
  }
  return {};
}

Status Over::flush_rows() {
  if (rows_.size() == 0) return {};
  Delta all{.rows = rows_};
  Delta good = TRY(evaluator_->run(all));
  if (good.size() != rows_.size()) {
    return Error(Code::internal, "a row of a window fails that did not when it came");
  }
  std::copy(job_numbers_.begin(), job_numbers_.end(),
            duckdb::FlatVector::GetData<uint64_t>(columns_.data[0]));
  auto& computed = evaluator_->output();
  for (size_t i = 0; i < computed.ColumnCount(); ++i) {
    columns_.data[i + 1].Reference(computed.data[i]);
  }
  columns_.SetCardinality(rows_.size());
  Status added = program_->add(columns_);
  reset_chunk(rows_);
  job_numbers_.clear();
  return added;
}

/// Of jobs whose rows are there. A partition that fails is found by halving, and has no rows then.
Status Over::run(size_t first, size_t last) {
  TRY(flush_rows());
  Status taken;
  Status done = program_->run([&](duckdb::DataChunk& results) {
    taken = take(results);
    return taken;
  });
  if (done) return {};
  if (!taken) return taken;
  // Want of memory or room is no fault of the rows.
  if (done.error().code() != Code::invalid_argument) return done;
  if (last - first == 1) {
    report(*jobs_[first].partition, done.error().message());
    return forget(*jobs_[first].partition);
  }
  const size_t middle = first + (last - first) / 2;
  for (auto [from, to] : {std::pair(first, middle), std::pair(middle, last)}) {
    asked_.clear();
    for (size_t job = from; job < to; ++job) TRY(add_rows(jobs_[job], job));
    TRY(run(from, to));
  }
  return {};
}

Status Over::take(duckdb::DataChunk& results) {
  answer_encoder_.encode(results, answer_columns_, answer_bytes_);
  const auto* numbers = duckdb::FlatVector::GetData<int64_t>(results.data[0]);
  for (size_t row = 0; row < results.size(); ++row) {
    const Asked& asked = asked_[static_cast<size_t>(numbers[row])];
    if (!asked.wanted) continue;
    TRY(answer(*jobs_[asked.job].partition, asked.entry, asked.index, answer_bytes_[row]));
  }
  return {};
}

Status Over::answer(Partition& partition, Rows::iterator entry, size_t index,
                    std::string_view bytes) {
  auto& answers = entry->second.answers;
  if (answers.size() <= index) {
    bytes_ += (index + 1 - answers.size()) * kAnswerOverheadBytes;
    answers.resize(index + 1);
  }
  std::string& known = answers[index];
  if (known == bytes) return {};
  if (!known.empty()) TRY(show(entry, known, -1));
  TRY(show(entry, bytes, 1));
  bytes_ += bytes.size() - known.size();
  known.assign(bytes);
  mark_unsaved(partition, entry);
  return {};
}

Status Over::drop_answers(Partition& partition, Rows::iterator entry, size_t keep) {
  auto& answers = entry->second.answers;
  while (answers.size() > keep) {
    if (!answers.back().empty()) TRY(show(entry, answers.back(), -1));
    bytes_ -= answers.back().size() + kAnswerOverheadBytes;
    answers.pop_back();
    mark_unsaved(partition, entry);
  }
  return {};
}

void Over::report(Partition& partition, std::string error) {
  if (partition.error == error || context_.errors == nullptr) return;
  std::string text = "{}";
  if (!partition_types_.empty()) {
    duckdb::DataChunk key;
    key.Initialize(duckdb::Allocator::DefaultAllocator(), partition_types_);
    std::vector<data::ColumnTarget> targets(partition_columns_.begin(), partition_columns_.end());
    auto used = partition_encoder_.decode_columns(partition.name, targets, key, 0);
    CHECK(used.has_value(), "the key of a partition does not decode");
    key.SetCardinality(1);
    text = row_to_json(partition_names_, key, 0);
  }
  for (Weight weight : {-1, 1}) {
    const std::string& message = weight < 0 ? partition.error : error;
    if (message.empty()) continue;
    context_.errors->add({.node = node_id_, .message = message, .row = text, .weight = weight});
  }
  partition.error = std::move(error);
  partition.error_unsaved = true;
}

Status Over::forget(Partition& partition) {
  partition.failed = true;
  for (auto entry = partition.rows.begin(); entry != partition.rows.end(); ++entry) {
    TRY(drop_answers(partition, entry, 0));
  }
  return {};
}

Status Over::show(Rows::iterator entry, std::string_view answer, Weight weight) {
  size_t to = output_.size();
  auto row = std::string_view(entry->first).substr(entry->second.order_bytes);
  TRY(row_encoder_.decode_columns(row, row_targets_, output_, to));
  TRY(answer_encoder_.decode_columns(answer, answer_targets_, output_, to));
  weights_.push_back(weight);
  output_.SetCardinality(to + 1);
  return output_.size() == STANDARD_VECTOR_SIZE ? emit_all(output_, weights_) : Status();
}

// A stored row: varint length of the partition key, partition key, order key and row
//   -> svarint weight, varint length of the order key, varint number of answers, each sized.
// Of a partition that fails: partition key -> what is wrong.
Status Over::save(StateWriter& writer) {
  for (auto at : unsaved_) {
    Partition& partition = at->second;
    ByteWriter head;
    head.sized(at->first);
    std::string stored_key(as_text(head.view()));
    const size_t prefix = stored_key.size();
    for (auto row : partition.unsaved) {
      Entry& entry = row->second;
      entry.unsaved = false;
      stored_key.resize(prefix);
      stored_key += row->first;
      if (entry.weight == 0) {
        if (entry.stored) writer.remove(kRowTag, stored_key);
        bytes_ -= row->first.size() + kRowOverheadBytes;
        partition.rows.erase(row);
        continue;
      }
      ByteWriter value;
      value.svarint(entry.weight);
      value.varint(entry.order_bytes);
      value.varint(entry.answers.size());
      for (const auto& answer : entry.answers) value.sized(answer);
      writer.put(kRowTag, stored_key, as_text(value.view()));
      entry.stored = true;
    }
    partition.unsaved.clear();
    if (std::exchange(partition.error_unsaved, false)) {
      if (partition.error.empty()) {
        writer.remove(kErrorTag, at->first);
      } else {
        writer.put(kErrorTag, at->first, partition.error);
      }
    }
    if (partition.rows.empty()) partitions_.erase(at);
  }
  unsaved_.clear();
  let_go(writer);
  return {};
}

/// Partitions that are final. What was reported of one stays.
void Over::let_go(StateWriter& writer) {
  while (auto name = closing_.next()) {
    auto at = partitions_.find(*name);
    if (at == partitions_.end()) continue;
    ByteWriter head;
    head.sized(at->first);
    for (const auto& [key, entry] : at->second.rows) {
      bytes_ -= key.size() + kRowOverheadBytes;
      for (const auto& answer : entry.answers) bytes_ -= answer.size() + kAnswerOverheadBytes;
      if (entry.stored) writer.remove(kRowTag, std::string(as_text(head.view())) + key);
    }
    if (!at->second.error.empty()) writer.remove(kErrorTag, at->first);
    partitions_.erase(at);
  }
}

Status Over::load(char tag, std::string_view key, std::string_view value) {
  if (tag == kErrorTag) {
    Partition& failed = TRY(partition_of(key))->second;
    failed.failed = true;
    failed.error = value;
    return {};
  }
  if (tag != kRowTag)
    return Error(Code::corrupt, "a window's row has the unknown tag {}", int{tag});
  ByteReader head(as_bytes(key));
  auto name = head.sized();
  auto row = key.substr(head.position());
  ByteReader in(as_bytes(value));
  Entry entry{.weight = in.svarint(), .stored = true};
  entry.order_bytes = static_cast<uint32_t>(in.varint());
  auto count = in.varint();
  for (uint64_t i = 0; i < count && in.ok(); ++i) {
    entry.answers.emplace_back(in.sized());
    bytes_ += entry.answers.back().size() + kAnswerOverheadBytes;
  }
  if (!head.ok() || !in.ok() || entry.order_bytes > row.size()) {
    return Error(Code::corrupt, "a stored row of a window is damaged");
  }
  auto& partition = TRY(partition_of(name))->second;
  partition.failed = partition.failed || std::cmp_less(entry.answers.size(), entry.weight);
  bytes_ += row.size() + kRowOverheadBytes;
  partition.rows.emplace_hint(partition.rows.end(), row, std::move(entry));
  return {};
}

}  // namespace ziwa::stream
