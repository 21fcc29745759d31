#include "stream/stage.h"

#include "stream/row_errors.h"

#include <algorithm>
#include <charconv>

namespace ziwa::stream {

Result<duckdb::vector<duckdb::LogicalType>> parse_types(const std::vector<PlanColumn>& columns) {
  duckdb::vector<duckdb::LogicalType> types;
  for (const auto& column : columns) types.push_back(TRY(duck::parse_type(column.type)));
  return types;
}

Status Stage::emit_all(duckdb::DataChunk& rows, std::vector<Weight>& weights, bool upserts) {
  if (rows.size() == 0) return {};
  Delta delta{.rows = rows, .weights = weights.data(), .upserts = upserts};
  Status done = emit(delta);
  reset_chunk(rows);
  weights.clear();
  return done;
}

bool is_timestamp(const duckdb::LogicalType& type) {
  return type.id() == duckdb::LogicalTypeId::TIMESTAMP ||
         type.id() == duckdb::LogicalTypeId::TIMESTAMP_TZ;
}

std::optional<uint32_t> plain_column(std::string_view expression) {
  while (expression.size() > 2 && expression.front() == '(' && expression.back() == ')') {
    expression = expression.substr(1, expression.size() - 2);
  }
  if (expression.size() < 2 || expression.front() != 'c') return std::nullopt;
  uint32_t id = 0;
  const char* end = expression.data() + expression.size();
  auto [stop, error] = std::from_chars(expression.data() + 1, end, id);
  if (error != std::errc() || stop != end) return std::nullopt;
  return id;
}

const PlanColumn* find_column(const std::vector<PlanColumn>& columns, std::string_view expression) {
  auto id = plain_column(expression);
  auto at = std::ranges::find_if(columns, [&](const auto& column) { return id == column.id; });
  return at == columns.end() ? nullptr : &*at;
}

Result<std::unique_ptr<Evaluator>> Evaluator::compile(StageContext& context, uint32_t node,
                                                      const std::vector<PlanColumn>& inputs,
                                                      const std::vector<Expression>& expressions) {
  std::unique_ptr<Evaluator> evaluator(new Evaluator(context, node));
  auto input_types = TRY(parse_types(inputs));
  for (const auto& input : inputs) evaluator->names_.push_back(input.name);
  std::vector<std::string> computed;
  for (const auto& expression : expressions) {
    const auto* column = find_column(inputs, expression);
    if (column == nullptr) {
      evaluator->plain_.emplace_back();
      evaluator->passed_.emplace_back();
      computed.push_back(expression);
    } else {
      evaluator->plain_.emplace_back(column - inputs.data());
      evaluator->passed_.emplace_back(column->id);
    }
  }
  if (!computed.empty()) {
    std::vector<duck::NamedType> named;
    for (size_t i = 0; i < inputs.size(); ++i) {
      named.push_back({"c" + std::to_string(inputs[i].id), input_types[i]});
    }
    evaluator->program_ = TRY(duck::ExpressionProgram::compile(context.instance, named, computed));
    const auto& types = evaluator->program_->output_types();
    evaluator->computed_.Initialize(duckdb::Allocator::DefaultAllocator(), types);
    evaluator->good_.InitializeEmpty(types);
  }
  size_t next = 0;
  for (const auto& plain : evaluator->plain_) {
    evaluator->types_.push_back(plain ? input_types[*plain]
                                      : evaluator->program_->output_types()[next++]);
  }
  if (!evaluator->types_.empty()) evaluator->output_.InitializeEmpty(evaluator->types_);
  evaluator->slice_ = std::make_unique<DeltaSlice>(input_types);
  return evaluator;
}

std::optional<size_t> Evaluator::passed(uint32_t column_id) const {
  for (size_t i = 0; i < passed_.size(); ++i) {
    if (passed_[i] == column_id) return i;
  }
  return std::nullopt;
}

Status Evaluator::reference_output(duckdb::DataChunk& in, duckdb::DataChunk* computed) {
  size_t next = 0;
  for (size_t i = 0; i < plain_.size(); ++i) {
    output_.data[i].Reference(plain_[i] ? in.data[*plain_[i]] : computed->data[next++]);
  }
  output_.SetCardinality(in.size());
  return {};
}

void Evaluator::fail(const Delta& delta, size_t row, std::string_view message) {
  const Weight weight = delta.weight(row);
  if (context_.errors == nullptr || weight == 0) return;
  const std::string text = row_to_json(names_, delta.rows, row);
  RowError error{.node = node_, .message = message, .row = text, .weight = weight};
  if (delta.origin != nullptr) {
    error.origin = delta.origin;
    error.origin_row = delta.origin_row(row);
  }
  context_.errors->add(error);
}

Result<Delta> Evaluator::run(const Delta& delta) {
  if (program_ == nullptr) {
    TRY(reference_output(delta.rows, nullptr));
    return delta;
  }
  if (program_->execute(delta.rows, computed_).has_value()) {
    TRY(reference_output(delta.rows, &computed_));
    return delta;
  }
  failed_.clear();
  TRY(program_->execute_rows(delta.rows, computed_, failed_));
  duckdb::SelectionVector good(delta.size());
  size_t count = 0;
  for (size_t row = 0; row < delta.size(); ++row) {
    if (row < failed_.size() && !failed_[row].empty()) {
      fail(delta, row, failed_[row]);
    } else {
      good.set_index(count++, row);
    }
  }
  good_.Slice(computed_, good, count);
  Delta rest = slice_->take(delta, good, count);
  TRY(reference_output(rest.rows, &good_));
  return rest;
}

}  // namespace ziwa::stream
