#include "stream/stateless.h"

namespace ziwa::stream {

using duckdb::FlatVector;
using duckdb::LogicalTypeId;

Result<std::unique_ptr<Filter>> Filter::create(StageContext& context, const FilterNode& node,
                                               const std::vector<PlanColumn>& input) {
  auto predicate = TRY(Evaluator::compile(context.instance, input, {node.predicate}));
  if (predicate->types()[0].id() != LogicalTypeId::BOOLEAN) {
    return Error(Code::invalid_argument, "the filter {} is no BOOLEAN", node.predicate);
  }
  auto types = TRY(parse_types(input));
  return std::unique_ptr<Filter>(new Filter(context, std::move(predicate), types));
}

Status Filter::consume(size_t, Delta& delta) {
  Delta rows = TRY(predicate_->run(delta, context_.errors));
  duckdb::UnifiedVectorFormat format;
  predicate_->output().data[0].ToUnifiedFormat(rows.size(), format);
  size_t count = 0;
  for (size_t row = 0; row < rows.size(); ++row) {
    auto index = format.sel->get_index(row);
    if (format.validity.RowIsValid(index) && format.data[index] != 0) {
      selection_.set_index(count++, row);
    }
  }
  if (count == rows.size()) return emit(rows);
  if (count == 0) return {};
  Delta kept = slice_.take(rows, selection_, count);
  return emit(kept);
}

Result<std::unique_ptr<Project>> Project::create(StageContext& context, const ProjectNode& node,
                                                 const std::vector<PlanColumn>& input,
                                                 const std::vector<PlanColumn>& output) {
  auto evaluator = TRY(Evaluator::compile(context.instance, input, node.expressions));
  auto types = TRY(parse_types(output));
  for (size_t i = 0; i < types.size(); ++i) {
    if (types[i] == evaluator->types()[i]) continue;
    return Error(Code::invalid_argument, "{} has the type {}, but the plan says {}",
                 node.expressions[i], evaluator->types()[i].ToString(), types[i].ToString());
  }
  return std::unique_ptr<Project>(new Project(context, std::move(evaluator)));
}

Status Project::consume(size_t, Delta& delta) {
  Delta rows = TRY(evaluator_->run(delta, context_.errors));
  Delta out{.rows = evaluator_->output(),
            .weights = rows.weights,
            .origin = rows.origin,
            .origin_rows = rows.origin_rows,
            .upserts = rows.upserts};
  return emit(out);
}

Result<std::unique_ptr<Tumble>> Tumble::create(StageContext& context, uint32_t node_id,
                                               const TumbleNode& node,
                                               const std::vector<PlanColumn>& input,
                                               const std::vector<PlanColumn>& output) {
  std::unique_ptr<Tumble> tumble(new Tumble(context, node_id, node));
  tumble->time_ = TRY(Evaluator::compile(context.instance, input, {node.time}));
  auto time_type = tumble->time_->types()[0];
  if (time_type.id() != LogicalTypeId::TIMESTAMP && time_type.id() != LogicalTypeId::TIMESTAMP_TZ) {
    return Error(Code::unsupported, "a window by {}, which is a {}, not a TIMESTAMP", node.time,
                 time_type.ToString());
  }
  auto types = TRY(parse_types(output));
  if (types.size() != input.size() + 2 || types[input.size()] != time_type ||
      types[input.size() + 1] != time_type) {
    return Error(Code::invalid_argument, "a window does not add its start and end as {}",
                 time_type.ToString());
  }
  tumble->windows_.Initialize(duckdb::Allocator::DefaultAllocator(), {time_type, time_type});
  tumble->output_.InitializeEmpty(types);
  tumble->slice_ = std::make_unique<DeltaSlice>(types);
  return tumble;
}

int64_t Tumble::window_start(int64_t time_us, int64_t size_us, int64_t offset_us) {
  auto shifted = static_cast<__int128>(time_us) - offset_us;
  auto rest = shifted % size_us;
  if (rest < 0) rest += size_us;
  return static_cast<int64_t>(static_cast<__int128>(time_us) - rest);
}

bool Tumble::assign(const Delta& delta, size_t row, size_t index, const int64_t* times) {
  auto time = duckdb::timestamp_t(times[index]);
  int64_t start = time.value;
  int64_t end = time.value;
  bool finite = time != duckdb::timestamp_t::infinity() && time != duckdb::timestamp_t::ninfinity();
  if (finite) {
    start = window_start(time.value, size_us_, offset_us_);
    end = start + size_us_;
  }
  FlatVector::GetData<int64_t>(windows_.data[0])[row] = start;
  FlatVector::GetData<int64_t>(windows_.data[1])[row] = end;
  if (delta.origin == nullptr || !finite) return true;
  size_t origin_row = delta.origin_row(row);
  int64_t watermark = delta.origin->watermarks[origin_row];
  if (watermark == kNoWatermark || end > watermark) return true;
  if (context_.late != nullptr) context_.late->add(node_id_, *delta.origin, origin_row, start, end);
  return false;
}

Status Tumble::consume(size_t, Delta& delta) {
  Delta rows = TRY(time_->run(delta, context_.errors));
  size_t count = rows.size();
  duckdb::UnifiedVectorFormat format;
  time_->output().data[0].ToUnifiedFormat(count, format);
  const auto* times = reinterpret_cast<const int64_t*>(format.data);
  reset_chunk(windows_);
  duckdb::SelectionVector kept(count);
  size_t kept_count = 0;
  for (size_t row = 0; row < count; ++row) {
    auto index = format.sel->get_index(row);
    if (!format.validity.RowIsValid(index)) {
      FlatVector::SetNull(windows_.data[0], row, true);
      FlatVector::SetNull(windows_.data[1], row, true);
      kept.set_index(kept_count++, row);
    } else if (assign(rows, row, index, times)) {
      kept.set_index(kept_count++, row);
    }
  }
  size_t columns = rows.rows.ColumnCount();
  for (size_t i = 0; i < columns; ++i) output_.data[i].Reference(rows.rows.data[i]);
  output_.data[columns].Reference(windows_.data[0]);
  output_.data[columns + 1].Reference(windows_.data[1]);
  output_.SetCardinality(count);
  Delta out{.rows = output_,
            .weights = rows.weights,
            .origin = rows.origin,
            .origin_rows = rows.origin_rows};
  if (kept_count == count) return emit(out);
  if (kept_count == 0) return {};
  Delta timely = slice_->take(out, kept, kept_count);
  return emit(timely);
}

}  // namespace ziwa::stream
