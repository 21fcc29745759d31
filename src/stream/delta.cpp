#include "stream/delta.h"

namespace ziwa::stream {

using duckdb::FlatVector;
using duckdb::PhysicalType;

Delta DeltaSlice::take(const Delta& from, const duckdb::SelectionVector& selection, size_t count) {
  rows_.Reset();
  rows_.Slice(from.rows, selection, count);
  Delta slice{.rows = rows_};
  if (from.weights != nullptr) {
    weights_.resize(count);
    for (size_t i = 0; i < count; ++i) weights_[i] = from.weights[selection.get_index(i)];
    slice.weights = weights_.data();
  }
  if (from.origin != nullptr || from.origin_rows != nullptr) {
    origin_rows_.resize(count);
    for (size_t i = 0; i < count; ++i) {
      origin_rows_[i] = static_cast<uint32_t>(from.origin_row(selection.get_index(i)));
    }
    slice.origin = from.origin;
    slice.origin_rows = origin_rows_.data();
  }
  return slice;
}

namespace {

bool nested(PhysicalType type) {
  return type == PhysicalType::LIST || type == PhysicalType::STRUCT || type == PhysicalType::ARRAY;
}

}  // namespace

void copy_value(const duckdb::Vector& from, size_t from_row, duckdb::Vector& to, size_t to_row) {
  if (!FlatVector::Validity(from).RowIsValid(from_row)) {
    FlatVector::SetNull(to, to_row, true);
    return;
  }
  auto physical = from.GetType().InternalType();
  if (nested(physical)) {
    to.SetValue(to_row, from.GetValue(from_row));
    return;
  }
  FlatVector::Validity(to).SetValid(to_row);
  if (physical == PhysicalType::VARCHAR) {
    const auto& text = reinterpret_cast<const duckdb::string_t*>(from.GetData())[from_row];
    FlatVector::GetData<duckdb::string_t>(to)[to_row] =
        duckdb::StringVector::AddStringOrBlob(to, text.GetData(), text.GetSize());
    return;
  }
  size_t width = duckdb::GetTypeIdSize(physical);
  std::memcpy(to.GetData() + to_row * width, from.GetData() + from_row * width, width);
}

bool same_value(const duckdb::Vector& a, size_t a_row, const duckdb::Vector& b, size_t b_row) {
  bool valid = FlatVector::Validity(a).RowIsValid(a_row);
  if (valid != FlatVector::Validity(b).RowIsValid(b_row)) return false;
  if (!valid) return true;
  auto physical = a.GetType().InternalType();
  if (nested(physical)) {
    return duckdb::Value::NotDistinctFrom(a.GetValue(a_row), b.GetValue(b_row));
  }
  if (physical == PhysicalType::VARCHAR) {
    const auto& left = reinterpret_cast<const duckdb::string_t*>(a.GetData())[a_row];
    const auto& right = reinterpret_cast<const duckdb::string_t*>(b.GetData())[b_row];
    return std::string_view(left.GetData(), left.GetSize()) ==
           std::string_view(right.GetData(), right.GetSize());
  }
  size_t width = duckdb::GetTypeIdSize(physical);
  return std::memcmp(a.GetData() + a_row * width, b.GetData() + b_row * width, width) == 0;
}

void reset_chunk(duckdb::DataChunk& chunk) {
  chunk.Reset();
  for (auto& vector : chunk.data) FlatVector::Validity(vector).Reset();
}

}  // namespace ziwa::stream
