#include "stream/row_errors.h"

#include <nlohmann/json.hpp>

#include <cmath>
#include <utility>

namespace ziwa::stream {

using duckdb::FlatVector;
using duckdb::LogicalTypeId;

const data::Schema& RowErrors::schema() {
  static const data::Schema kSchema = {{{1, "operator", "VARCHAR"},
                                        {2, "error", "VARCHAR"},
                                        {3, "partition", "INTEGER"},
                                        {4, "offset", "BIGINT"},
                                        {5, "row", "VARCHAR"}}};
  return kSchema;
}

RowErrors::RowErrors(RowTable& table, std::map<uint32_t, std::string> operators)
    : table_(table), operators_(std::move(operators)) {
  rows_.Initialize(duckdb::Allocator::DefaultAllocator(), table.layout()->types);
}

void RowErrors::add(const RowError& error) {
  if (error.weight == 0) return;
  if (error.weight > 0) last_ = error.message;
  if (rows_.size() == STANDARD_VECTOR_SIZE && failed_) failed_ = flush();
  if (!failed_) return;
  const size_t to = rows_.size();
  auto text = [&](size_t column, std::string_view value) {
    FlatVector::GetData<duckdb::string_t>(rows_.data[column])[to] =
        duckdb::StringVector::AddStringOrBlob(rows_.data[column], value.data(), value.size());
  };
  text(0, operators_[error.node]);
  text(1, error.message);
  if (error.origin != nullptr) {
    FlatVector::GetData<int32_t>(rows_.data[2])[to] = error.origin->partitions[error.origin_row];
    FlatVector::GetData<int64_t>(rows_.data[3])[to] = error.origin->offsets[error.origin_row];
  } else {
    FlatVector::SetNull(rows_.data[2], to, true);
    FlatVector::SetNull(rows_.data[3], to, true);
  }
  text(4, error.row);
  weights_.push_back(error.weight);
  rows_.SetCardinality(to + 1);
}

Status RowErrors::flush() {
  TRY(std::exchange(failed_, Status()));
  if (rows_.size() == 0) return {};
  Delta delta{.rows = rows_, .weights = weights_.data()};
  Status done = table_.consume(0, delta);
  reset_chunk(rows_);
  weights_.clear();
  return done;
}

std::string row_to_json(const std::vector<std::string>& names, duckdb::DataChunk& rows,
                        size_t row) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (size_t i = 0; i < names.size(); ++i) {
    auto value = rows.GetValue(i, row);
    auto& field = json[names[i]];
    if (value.IsNull()) continue;
    switch (value.type().id()) {
      case LogicalTypeId::BOOLEAN:
        field = value.GetValue<bool>();
        break;
      case LogicalTypeId::TINYINT:
      case LogicalTypeId::SMALLINT:
      case LogicalTypeId::INTEGER:
      case LogicalTypeId::BIGINT:
        field = value.GetValue<int64_t>();
        break;
      case LogicalTypeId::FLOAT:
      case LogicalTypeId::DOUBLE:
        if (std::isfinite(value.GetValue<double>())) {
          field = value.GetValue<double>();
          break;
        }
        [[fallthrough]];
      default:
        field = value.ToString();
    }
  }
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace ziwa::stream
