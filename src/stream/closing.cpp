#include "stream/closing.h"

namespace ziwa::stream {

int64_t closes_at(int64_t time_us, int64_t plus_us, const TimeBound& bound) {
  int64_t at = 0;
  if (!duckdb::Timestamp::IsFinite(duckdb::timestamp_t(time_us)) ||
      __builtin_add_overflow(time_us, plus_us, &at) ||
      __builtin_add_overflow(at, bound.add_us(), &at)) {
    return kNeverCloses;
  }
  return at;
}

Result<ClosingKeys> ClosingKeys::create(const StageContext& context,
                                        const std::optional<BoundColumn>& column,
                                        const duckdb::vector<duckdb::LogicalType>& types) {
  ClosingKeys keys(TRY(data::RowKeyEncoder::create(types)));
  if (!column) return keys;
  const auto& type = types[column->position];
  if (!is_timestamp(type)) {
    return Error(Code::invalid_argument, "state is freed by a {}, which is no TIMESTAMP",
                 type.ToString());
  }
  keys.context_ = &context;
  keys.bound_ = column->bound;
  keys.targets_.assign(types.size(), data::kSkip);
  keys.targets_[column->position] = 0;
  keys.value_ = std::make_unique<duckdb::DataChunk>();
  keys.value_->Initialize(duckdb::Allocator::DefaultAllocator(), {type}, 1);
  return keys;
}

Result<int64_t> ClosingKeys::closes_at(std::string_view key) {
  if (!bound_) return kNeverCloses;
  reset_chunk(*value_);
  TRY(encoder_.decode_columns(key, targets_, *value_, 0));
  const auto& time = value_->data[0];
  if (duckdb::FlatVector::IsNull(time, 0)) return kNeverCloses;
  return stream::closes_at(duckdb::FlatVector::GetData<int64_t>(time)[0], 0, *bound_);
}

Result<std::optional<KeyTable::Slot>> ClosingSlots::next(const KeyTable& table) {
  const int64_t reached = keys_.reached();
  while (auto due = due_.pop(reached)) {
    // The entry may be gone, and another in its slot.
    if (table.used(due->thing) && TRY(keys_.closes_at(table.key(due->thing))) == due->at_us)
      return std::optional(due->thing);
  }
  return std::optional<KeyTable::Slot>();
}

}  // namespace ziwa::stream
