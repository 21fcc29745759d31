#include "stream/window.h"

#include <optional>

namespace ziwa::stream {

using duckdb::FlatVector;

Result<std::unique_ptr<Window>> Window::create(StageContext& context, uint32_t node_id,
                                               const WindowNode& node,
                                               const std::vector<PlanColumn>& input,
                                               const std::vector<PlanColumn>& output) {
  std::unique_ptr<Window> window(new Window(context, node_id, node));
  window->time_ = TRY(Evaluator::compile(context, node_id, input, {node.time}));
  auto time_type = window->time_->types()[0];
  if (!is_timestamp(time_type)) {
    return Error(Code::unsupported, "a window by {}, which is a {}, not a TIMESTAMP", node.time,
                 time_type.ToString());
  }
  auto types = TRY(parse_types(output));
  if (types.size() != input.size() + 2 || types[input.size()] != time_type ||
      types[input.size() + 1] != time_type) {
    return Error(Code::invalid_argument, "a window does not add its start and end as {}",
                 time_type.ToString());
  }
  window->windows_.Initialize(duckdb::Allocator::DefaultAllocator(), {time_type, time_type});
  window->output_.InitializeEmpty(types);
  return window;
}

Status Window::consume(size_t, Delta& delta) {
  Delta rows = TRY(time_->run(delta));
  duckdb::UnifiedVectorFormat format;
  time_->output().data[0].ToUnifiedFormat(rows.size(), format);
  const auto* times = reinterpret_cast<const int64_t*>(format.data);
  for (size_t row = 0; row < rows.size(); ++row) {
    auto index = format.sel->get_index(row);
    if (format.validity.RowIsValid(index)) {
      TRY(assign(rows, row, times[index]));
    } else {
      TRY(add(rows, row, nullptr));
    }
  }
  return flush(rows);
}

Status Window::assign(const Delta& rows, size_t row, int64_t time_us) {
  if (!duckdb::Timestamp::IsFinite(duckdb::timestamp_t(time_us))) {
    const std::pair forever(time_us, time_us);
    return add(rows, row, &forever);
  }
  Status done;
  const bool judged = rows.origin != nullptr;
  const size_t origin_row = judged ? rows.origin_row(row) : 0;
  const int64_t watermark = judged ? rows.origin->watermarks[origin_row] : kNoWatermark;
  std::optional<std::pair<int64_t, int64_t>> missed;  // One window ends after the other.
  const bool whole = each_window(shape_, time_us, [&](int64_t start, int64_t end) {
    if (!done) return;
    if (has_closed(end, watermark)) {
      missed = {missed ? missed->first : start, end};
      return;
    }
    const std::pair window(start, end);
    done = add(rows, row, &window);
  });
  if (!whole)
    time_->fail(rows, row, "a window of this time is outside of what a TIMESTAMP can say");
  if (missed && context_.late != nullptr)
    context_.late->add(node_id_, *rows.origin, origin_row,
                       WindowSpan{.start_us = missed->first, .end_us = missed->second});
  return done;
}

bool Window::has_closed(int64_t end_us, int64_t watermark) const {
  int64_t closes = 0;
  return watermark != kNoWatermark && !__builtin_add_overflow(end_us, lateness_us_, &closes) &&
         closes <= watermark;
}

Status Window::add(const Delta& rows, size_t row, const std::pair<int64_t, int64_t>* window) {
  if (window == nullptr) {
    for (auto& bound : windows_.data) FlatVector::SetNull(bound, count_, true);
  } else {
    FlatVector::GetData<int64_t>(windows_.data[0])[count_] = window->first;
    FlatVector::GetData<int64_t>(windows_.data[1])[count_] = window->second;
  }
  from_.set_index(count_++, row);
  if (rows.weights != nullptr) weights_.push_back(rows.weights[row]);
  if (rows.origin != nullptr) origin_rows_.push_back(static_cast<uint32_t>(rows.origin_row(row)));
  return count_ == STANDARD_VECTOR_SIZE ? flush(rows) : Status();
}

Status Window::flush(const Delta& rows) {
  if (count_ == 0) return {};
  const size_t columns = rows.rows.ColumnCount();
  // Mostly each row has one window: then nothing moves.
  bool same = count_ == rows.size();
  for (size_t i = 0; same && i < count_; ++i) same = from_.get_index(i) == i;
  for (size_t i = 0; i < columns; ++i) {
    if (same) {
      output_.data[i].Reference(rows.rows.data[i]);
    } else {
      output_.data[i].Slice(rows.rows.data[i], from_, count_);
    }
  }
  output_.data[columns].Reference(windows_.data[0]);
  output_.data[columns + 1].Reference(windows_.data[1]);
  output_.SetCardinality(count_);
  Delta out{.rows = output_,
            .weights = rows.weights == nullptr ? nullptr : weights_.data(),
            .origin = rows.origin,
            .origin_rows = rows.origin == nullptr ? nullptr : origin_rows_.data()};
  Status done = emit(out);
  count_ = 0;
  weights_.clear();
  origin_rows_.clear();
  reset_chunk(windows_);
  return done;
}

}  // namespace ziwa::stream
