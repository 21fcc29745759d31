#include "stream/call_index.h"

#include "base/bytes.h"

#include <algorithm>

namespace ziwa::stream {
namespace {

/// Whether row bytes of equal values are equal, in values that have no row key.
bool same_bytes(const duckdb::LogicalType& type) {
  using duckdb::LogicalTypeId;
  switch (type.id()) {
    case LogicalTypeId::STRUCT:
      for (const auto& member : duckdb::StructType::GetChildTypes(type)) {
        if (!same_bytes(member.second)) return false;
      }
      return true;
    case LogicalTypeId::LIST:
      return same_bytes(duckdb::ListType::GetChildType(type));
    case LogicalTypeId::ARRAY:
      return same_bytes(duckdb::ArrayType::GetChildType(type));
    case LogicalTypeId::VARCHAR:
    case LogicalTypeId::DATE:
    case LogicalTypeId::TIMESTAMP:
    case LogicalTypeId::UUID:
    case LogicalTypeId::BOOLEAN:
      return true;
    default:
      return type.IsIntegral() || type.id() == LogicalTypeId::DECIMAL;
  }
}

/// Equal values that are not the same.
bool has_twins(const duckdb::LogicalType& type) {
  using duckdb::LogicalTypeId;
  return type.id() == LogicalTypeId::FLOAT || type.id() == LogicalTypeId::DOUBLE ||
         type.id() == LogicalTypeId::INTERVAL;
}

}  // namespace

Result<CallIndex> CallIndex::create(Spec spec, const duckdb::vector<duckdb::LogicalType>& types) {
  auto order = TRY(OrderKey::create(spec.order, types));
  CallIndex index(std::move(spec), std::move(order));
  bool twins = false;
  for (size_t column : index.spec_.arguments) {
    index.targets_.push_back(static_cast<data::ColumnTarget>(index.targets_.size()));
    index.types_.push_back(types[column]);
    twins = twins || has_twins(types[column]);
  }
  auto keys = data::RowKeyEncoder::create(index.types_);
  if (keys.has_value()) {
    index.keys_ = std::move(*keys);
  } else if (!index.spec_.exact) {
    bool identity = std::all_of(index.types_.begin(), index.types_.end(), same_bytes);
    if (!identity) return std::move(keys).error();
  }
  if (!index.keys_ || (index.spec_.exact && twins)) {
    index.rows_ = TRY(data::RowEncoder::create(index.types_));
  }
  return index;
}

size_t CallIndex::lane(std::optional<size_t> filter) {
  for (size_t i = 0; i < lanes_.size(); ++i) {
    if (lanes_[i] == filter) return i;
  }
  lanes_.push_back(filter);
  groups_ = GroupIndex(lanes_.size());
  changes_.resize(lanes_.size());
  before_.resize(lanes_.size());
  crossings_.resize(lanes_.size());
  return lanes_.size() - 1;
}

void CallIndex::encode(duckdb::DataChunk& columns) {
  order_.encode(columns);
  if (keys_) keys_->encode(columns, std::span<const size_t>(spec_.arguments), key_bytes_);
  if (rows_) rows_->encode(columns, std::span<const size_t>(spec_.arguments), row_bytes_);
  not_null_.clear();
  auto must_be_there = [&](size_t column) {
    columns.data[column].ToUnifiedFormat(columns.size(), not_null_.emplace_back());
    if (not_null_.back().validity.AllValid()) not_null_.pop_back();
  };
  if (spec_.skip_null_arguments) std::ranges::for_each(spec_.arguments, must_be_there);
  if (spec_.skip_null_order) {
    for (const auto& order : spec_.order) must_be_there(order.column);
  }
}

bool CallIndex::skips(size_t row) const {
  return std::ranges::any_of(not_null_, [&](const auto& format) {
    return !format.validity.RowIsValid(format.sel->get_index(row));
  });
}

// An entry: order bytes, row key of the arguments, row of the arguments; then, unless it is only a
// row key, 4 bytes that say where the part begins which decode() reads.
std::string_view CallIndex::key(size_t row) {
  if (spec_.order.empty() && !rows_) return key_bytes_[row];
  scratch_.clear();
  order_.append(row, scratch_);
  auto read_from = static_cast<uint32_t>(scratch_.size());
  if (keys_) scratch_.append(key_bytes_[row]);
  if (rows_) {
    read_from = static_cast<uint32_t>(scratch_.size());
    scratch_.append(row_bytes_[row]);
  }
  char tail[4];
  store_be<uint32_t>(tail, read_from);
  return scratch_.append(tail, sizeof tail);
}

void CallIndex::update(const Rows& rows) {
  size_t count = rows.columns.size();
  encode(rows.columns);
  for (auto& lane : crossings_) lane.assign(count, 0);
  for (size_t row = 0; row < count; ++row) {
    if (!not_null_.empty() && skips(row)) continue;
    Weight weight = rows.weights == nullptr ? 1 : rows.weights[row];
    bool passes = false;
    for (size_t lane = 0; lane < lanes_.size(); ++lane) {
      bool in = !lanes_[lane] || rows.passes[*lanes_[lane]][row] != 0;
      changes_[lane] = in ? weight : 0;
      passes = passes || in;
    }
    if (!passes) continue;
    auto entry = key(row);
    if (spec_.first_only) {
      auto first = groups_.first(rows.groups[row], 0);
      if (first && *first <= entry) continue;
    }
    groups_.add(rows.groups[row], entry, changes_.data(), before_.data());
    if (spec_.first_only) groups_.keep_first(rows.groups[row]);
    for (size_t lane = 0; lane < lanes_.size(); ++lane) {
      bool was = before_[lane] > 0;
      bool is = before_[lane] + changes_[lane] > 0;
      if (was != is) crossings_[lane][row] = is ? 1 : -1;
    }
  }
}

Status CallIndex::decode(std::string_view key, duckdb::DataChunk& out, size_t row) const {
  if (spec_.order.empty() && !rows_) {
    TRY(keys_->decode_columns(key, targets_, out, row));
    return {};
  }
  if (key.size() < 4) return Error(Code::corrupt, "a value of a group is damaged");
  auto read_from = load_be<uint32_t>(key.data() + key.size() - 4);
  key.remove_suffix(4);
  if (read_from > key.size()) return Error(Code::corrupt, "a value of a group is damaged");
  key.remove_prefix(read_from);
  if (rows_) return rows_->decode_columns(key, targets_, out, row);
  TRY(keys_->decode_columns(key, targets_, out, row));
  return {};
}

}  // namespace ziwa::stream
