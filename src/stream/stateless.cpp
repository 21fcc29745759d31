#include "stream/stateless.h"

#include "data/normal_values.h"

#include <cstring>

namespace ziwa::stream {

using duckdb::FlatVector;
using duckdb::LogicalTypeId;

Result<std::unique_ptr<Filter>> Filter::create(StageContext& context, uint32_t node_id,
                                               const FilterNode& node,
                                               const std::vector<PlanColumn>& input) {
  auto predicate = TRY(Evaluator::compile(context, node_id, input, {node.predicate}));
  if (predicate->types()[0].id() != LogicalTypeId::BOOLEAN) {
    return Error(Code::invalid_argument, "the filter {} is no BOOLEAN", node.predicate);
  }
  auto types = TRY(parse_types(input));
  return std::unique_ptr<Filter>(new Filter(std::move(predicate), types));
}

Status Filter::consume(size_t, Delta& delta) {
  Delta rows = TRY(predicate_->run(delta));
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

Result<std::unique_ptr<OnTime>> OnTime::create(StageContext& context, uint32_t node_id,
                                               const OnTimeNode& node,
                                               const std::vector<PlanColumn>& input) {
  auto time = TRY(Evaluator::compile(context, node_id, input, {node.time}));
  if (!is_timestamp(time->types()[0])) {
    return Error(Code::unsupported, "rows on time by {}, which is a {}, not a TIMESTAMP", node.time,
                 time->types()[0].ToString());
  }
  auto types = TRY(parse_types(input));
  return std::unique_ptr<OnTime>(
      new OnTime(context, node_id, node.lateness_us, std::move(time), types));
}

bool OnTime::is_late(int64_t time_us, int64_t watermark) const {
  if (watermark == kNoWatermark || !duckdb::Timestamp::IsFinite(duckdb::timestamp_t(time_us)))
    return false;
  int64_t until = 0;
  return !__builtin_add_overflow(time_us, lateness_us_, &until) && until < watermark;
}

Status OnTime::consume(size_t, Delta& delta) {
  if (delta.origin == nullptr) return emit(delta);
  Delta rows = TRY(time_->run(delta));
  duckdb::UnifiedVectorFormat format;
  time_->output().data[0].ToUnifiedFormat(rows.size(), format);
  const auto* times = reinterpret_cast<const int64_t*>(format.data);
  size_t count = 0;
  for (size_t row = 0; row < rows.size(); ++row) {
    const auto index = format.sel->get_index(row);
    const size_t origin_row = rows.origin_row(row);
    const bool timed = format.validity.RowIsValid(index);
    if (!timed || !is_late(times[index], rows.origin->watermarks[origin_row])) {
      selection_.set_index(count++, row);
    } else if (context_.late != nullptr) {
      context_.late->add(node_id_, *rows.origin, origin_row, std::nullopt);
    }
  }
  if (count == rows.size()) return emit(rows);
  if (count == 0) return {};
  Delta kept = slice_.take(rows, selection_, count);
  return emit(kept);
}

Result<std::unique_ptr<Project>> Project::create(StageContext& context, uint32_t node_id,
                                                 const ProjectNode& node,
                                                 const std::vector<PlanColumn>& input,
                                                 const std::vector<PlanColumn>& output) {
  auto evaluator = TRY(Evaluator::compile(context, node_id, input, node.expressions));
  auto types = TRY(parse_types(output));
  for (size_t i = 0; i < types.size(); ++i) {
    if (types[i] == evaluator->types()[i]) continue;
    return Error(Code::invalid_argument, "{} has the type {}, but the plan says {}",
                 node.expressions[i], evaluator->types()[i].ToString(), types[i].ToString());
  }
  return std::unique_ptr<Project>(new Project(std::move(evaluator)));
}

Status Project::consume(size_t, Delta& delta) {
  Delta rows = TRY(evaluator_->run(delta));
  Delta out{.rows = evaluator_->output(),
            .weights = rows.weights,
            .origin = rows.origin,
            .origin_rows = rows.origin_rows,
            .upserts = rows.upserts};
  return emit(out);
}

Result<std::unique_ptr<Unnest>> Unnest::create(StageContext& context, uint32_t node_id,
                                               const UnnestNode& node,
                                               const std::vector<PlanColumn>& input,
                                               const std::vector<PlanColumn>& output) {
  auto lists = TRY(Evaluator::compile(context, node_id, input, node.lists));
  auto types = TRY(parse_types(output));
  duckdb::vector<duckdb::LogicalType> elements;
  for (size_t i = 0; i < node.lists.size(); ++i) {
    if (lists->types()[i].id() != LogicalTypeId::LIST ||
        duckdb::ListType::GetChildType(lists->types()[i]) != types[input.size() + i]) {
      return Error(Code::invalid_argument, "{} is no list of {}", node.lists[i],
                   types[input.size() + i].ToString());
    }
    elements.push_back(types[input.size() + i]);
  }
  std::unique_ptr<Unnest> unnest(new Unnest(std::move(lists)));
  unnest->entries_.resize(elements.size());
  unnest->elements_.Initialize(duckdb::Allocator::DefaultAllocator(), elements);
  unnest->output_.InitializeEmpty(types);
  return unnest;
}

Status Unnest::consume(size_t, Delta& delta) {
  Delta rows = TRY(lists_->run(delta));
  auto& lists = lists_->output();
  for (auto& list : lists.data) {
    list.Flatten(rows.size());
    duckdb::ListVector::GetEntry(list).Flatten(duckdb::ListVector::GetListSize(list));
  }
  for (size_t row = 0; row < rows.size(); ++row) {
    uint64_t longest = 0;
    for (size_t i = 0; i < entries_.size(); ++i) {
      const bool valid = FlatVector::Validity(lists.data[i]).RowIsValid(row);
      entries_[i] = valid ? FlatVector::GetData<duckdb::list_entry_t>(lists.data[i])[row]
                          : duckdb::list_entry_t(0, 0);
      longest = std::max<uint64_t>(longest, entries_[i].length);
    }
    for (uint64_t element = 0; element < longest; ++element) {
      add(rows, row, element);
      if (weights_.size() == STANDARD_VECTOR_SIZE) TRY(flush(rows));
    }
  }
  return flush(rows);
}

void Unnest::add(const Delta& rows, size_t row, uint64_t element) {
  const size_t to = weights_.size();
  from_.set_index(to, row);
  weights_.push_back(rows.weight(row));
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (element >= entries_[i].length) {
      FlatVector::SetNull(elements_.data[i], to, true);
      continue;
    }
    copy_value(duckdb::ListVector::GetEntry(lists_->output().data[i]), entries_[i].offset + element,
               elements_.data[i], to);
  }
}

Status Unnest::flush(const Delta& rows) {
  const size_t count = weights_.size();
  if (count == 0) return {};
  const size_t columns = rows.rows.ColumnCount();
  for (size_t i = 0; i < columns; ++i) output_.data[i].Slice(rows.rows.data[i], from_, count);
  for (size_t i = 0; i < entries_.size(); ++i) {
    output_.data[columns + i].Reference(elements_.data[i]);
  }
  output_.SetCardinality(count);
  Delta out{.rows = output_, .weights = weights_.data()};
  Status done = emit(out);
  reset_chunk(elements_);
  weights_.clear();
  return done;
}

namespace {

template <typename T>
bool is_normal(duckdb::Vector& values, size_t count) {
  duckdb::UnifiedVectorFormat format;
  values.ToUnifiedFormat(count, format);
  const auto* of = duckdb::UnifiedVectorFormat::GetData<T>(format);
  for (size_t row = 0; row < count; ++row) {
    const auto index = format.sel->get_index(row);
    if (!format.validity.RowIsValid(index)) continue;
    const T normal = data::normal_value(of[index]);
    if (std::memcmp(&normal, &of[index], sizeof normal) != 0) return false;
  }
  return true;
}

/// Whether `copy` is to be used instead.
template <typename T>
bool normalize(duckdb::Vector& values, size_t count, duckdb::Vector& copy) {
  if (is_normal<T>(values, count)) return false;
  duckdb::VectorOperations::Copy(values, copy, count, 0, 0);
  auto* of = FlatVector::GetData<T>(copy);
  for (size_t row = 0; row < count; ++row) {
    if (FlatVector::Validity(copy).RowIsValid(row)) of[row] = data::normal_value(of[row]);
  }
  return true;
}

bool normalize_any(duckdb::Vector& values, size_t count, duckdb::Vector& copy) {
  switch (values.GetType().id()) {
    case LogicalTypeId::FLOAT:
      return normalize<float>(values, count, copy);
    case LogicalTypeId::DOUBLE:
      return normalize<double>(values, count, copy);
    default:
      return normalize<duckdb::interval_t>(values, count, copy);
  }
}

}  // namespace

std::unique_ptr<Normalize> Normalize::create(const duckdb::vector<duckdb::LogicalType>& types) {
  std::unique_ptr<Normalize> made(new Normalize(types));
  duckdb::vector<duckdb::LogicalType> copied;
  for (size_t i = 0; i < types.size(); ++i) {
    const auto id = types[i].id();
    if (id != LogicalTypeId::FLOAT && id != LogicalTypeId::DOUBLE && id != LogicalTypeId::INTERVAL)
      continue;
    made->columns_.push_back(i);
    copied.push_back(types[i]);
  }
  if (copied.empty()) return nullptr;
  made->copies_.Initialize(duckdb::Allocator::DefaultAllocator(), copied);
  return made;
}

Status Normalize::consume(size_t, Delta& delta) {
  const size_t count = delta.size();
  output_.Reference(delta.rows);
  reset_chunk(copies_);
  for (size_t i = 0; i < columns_.size(); ++i) {
    auto& copy = copies_.data[i];
    if (normalize_any(delta.rows.data[columns_[i]], count, copy))
      output_.data[columns_[i]].Reference(copy);
  }
  output_.SetCardinality(count);
  Delta out{.rows = output_,
            .weights = delta.weights,
            .origin = delta.origin,
            .origin_rows = delta.origin_rows,
            .upserts = delta.upserts};
  return emit(out);
}

}  // namespace ziwa::stream
