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

Result<ClosingKeys> ClosingKeys::create(const StageContext& context, const BoundColumn& column,
                                        const duckdb::vector<duckdb::LogicalType>& types) {
  if (!is_timestamp(types[column.position])) {
    return Error(Code::invalid_argument, "state is freed by a {}, which is no TIMESTAMP",
                 types[column.position].ToString());
  }
  ClosingKeys keys(context, column.bound, TRY(data::RowKeyEncoder::create(types)));
  keys.targets_.assign(types.size(), data::kSkip);
  keys.targets_[column.position] = 0;
  keys.value_ = std::make_unique<duckdb::DataChunk>();
  keys.value_->Initialize(duckdb::Allocator::DefaultAllocator(), {types[column.position]}, 1);
  return keys;
}

int64_t ClosingKeys::closes_at(std::string_view key) {
  reset_chunk(*value_);
  auto used = encoder_.decode_columns(key, targets_, *value_, 0);
  CHECK(used.has_value(), "a key does not decode");
  const auto& time = value_->data[0];
  if (duckdb::FlatVector::IsNull(time, 0)) return kNeverCloses;
  return stream::closes_at(duckdb::FlatVector::GetData<int64_t>(time)[0], 0, bound_);
}

}  // namespace ziwa::stream
