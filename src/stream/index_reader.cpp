#include "stream/index_reader.h"

#include <cmath>

namespace ziwa::stream {
namespace {

using duckdb::LogicalType;
using duckdb::LogicalTypeId;

constexpr uint8_t kFractionDigitsMax = 15;  // A double has them all.

class EndReader final : public IndexReader {
 public:
  EndReader(const CallIndex& index, bool last) : last_(last) {
    value_.Initialize(duckdb::Allocator::DefaultAllocator(), index.argument_types());
  }
  const LogicalType& result_type() const override { return value_.data[0].GetType(); }
  Status result(const CallIndex& index, const std::byte* state, size_t lane, duckdb::Vector& out,
                size_t row) override {
    auto key = last_ ? index.groups().last(state, lane) : index.groups().first(state, lane);
    if (!key) {
      duckdb::FlatVector::SetNull(out, row, true);
      return {};
    }
    reset_chunk(value_);
    TRY(index.decode(*key, value_, 0));
    copy_value(value_.data[0], 0, out, row);
    return {};
  }

 private:
  bool last_;
  duckdb::DataChunk value_;
};

/// The types of which DuckDB's median lies between two values.
bool has_between(const LogicalType& type) {
  if (type.HasAlias()) return false;
  switch (type.id()) {
    case LogicalTypeId::DECIMAL:
    case LogicalTypeId::FLOAT:
    case LogicalTypeId::DOUBLE:
    case LogicalTypeId::DATE:
    case LogicalTypeId::TIMESTAMP:
    case LogicalTypeId::TIMESTAMP_TZ:
    case LogicalTypeId::TIMESTAMP_SEC:
    case LogicalTypeId::TIMESTAMP_MS:
    case LogicalTypeId::TIMESTAMP_NS:
    case LogicalTypeId::TIME:
    case LogicalTypeId::TIME_TZ:
      return true;
    default:
      return type.IsIntegral();
  }
}

class WholeReader : public IndexReader {
 public:
  WholeReader(std::unique_ptr<duck::AggregateProgram> program, const CallIndex& index,
              bool distinct)
      : program_(std::move(program)), distinct_(distinct), repeated_(STANDARD_VECTOR_SIZE) {
    values_.Initialize(duckdb::Allocator::DefaultAllocator(), index.argument_types());
    slice_.InitializeEmpty(index.argument_types());
  }
  const LogicalType& result_type() const override { return program_->result_type(); }
  Status result(const CallIndex& index, const std::byte* state, size_t lane, duckdb::Vector& out,
                size_t row) override {
    TRY(begin());
    Status done;
    index.groups().visit(state, lane, [&](std::string_view key, Weight weight) {
      done = add(index, key, distinct_ ? 1 : weight);
      return done.has_value();
    });
    TRY(done);
    TRY(flush());
    return program_->finish(out, row);
  }

 protected:
  Status begin() {
    reset_chunk(values_);
    count_ = 0;
    return program_->begin();
  }
  Status add(const CallIndex& index, std::string_view key, Weight times) {
    if (values_.size() == STANDARD_VECTOR_SIZE) TRY(flush());
    size_t at = values_.size();
    TRY(index.decode(key, values_, at));
    values_.SetCardinality(at + 1);
    for (Weight i = 0; i < times; ++i) {
      if (count_ == STANDARD_VECTOR_SIZE) TRY(give());
      repeated_.set_index(count_++, at);
    }
    return {};
  }
  /// Gives the rows so far to the program; the values stay.
  Status give() {
    slice_.Reset();
    slice_.Slice(values_, repeated_, count_);
    count_ = 0;
    return program_->add(slice_);
  }
  Status flush() {
    if (count_ > 0) TRY(give());
    reset_chunk(values_);
    return {};
  }

  std::unique_ptr<duck::AggregateProgram> program_;

 private:
  bool distinct_;
  duckdb::DataChunk values_;
  duckdb::DataChunk slice_;
  duckdb::SelectionVector repeated_;
  size_t count_ = 0;
};

class QuantileReader final : public WholeReader {
 public:
  QuantileReader(std::unique_ptr<duck::AggregateProgram> program, const CallIndex& index,
                 duckdb::Value fraction, bool between)
      : WholeReader(std::move(program), index, false),
        fraction_(std::move(fraction)),
        between_(between),
        part_(program_->result_type()) {}

  Status result(const CallIndex& index, const std::byte* state, size_t lane, duckdb::Vector& out,
                size_t row) override {
    Weight rows = index.groups().rows(state, lane);
    if (rows <= 0) {
      duckdb::FlatVector::SetNull(out, row, true);
      return {};
    }
    if (!between_) return one(index, state, lane, rank(rows), out, row);
    double place = static_cast<double>(rows - 1) * fraction_.GetValue<double>();
    auto low = static_cast<Weight>(std::floor(place));
    auto high = static_cast<Weight>(std::ceil(place));
    if (low == high) return one(index, state, lane, low, out, row);
    if (fraction_.GetValue<double>() == 0.5) return middle(index, state, lane, low, out, row);
    if (result_type().id() != LogicalTypeId::DOUBLE) {
      return WholeReader::result(index, state, lane, out, row);
    }
    TRY(one(index, state, lane, low, part_, 0));
    TRY(one(index, state, lane, high, part_, 1));
    const auto* ends = duckdb::FlatVector::GetData<double>(part_);
    double share = place - static_cast<double>(low);
    duckdb::FlatVector::Validity(out).SetValid(row);
    duckdb::FlatVector::GetData<double>(out)[row] = ends[0] * (1.0 - share) + ends[1] * share;
    return {};
  }

 private:
  /// The row that quantile_disc takes of `rows`, as DuckDB counts.
  Weight rank(Weight rows) const {
    Weight above = 0;
    if (fraction_.type().id() == LogicalTypeId::DECIMAL) {
      auto scale = duckdb::DecimalType::GetScale(fraction_.type());
      __int128 one = 1;
      for (uint8_t i = 0; i < scale; ++i) one *= 10;
      __int128 part = std::llround(fraction_.GetValue<double>() * static_cast<double>(one));
      above = static_cast<Weight>((rows * one - rows * part) / one);
    } else {
      auto all = static_cast<double>(rows);
      above = static_cast<Weight>(std::floor(all - all * fraction_.GetValue<double>()));
    }
    return std::max<Weight>(1, rows - above) - 1;
  }
  Status one(const CallIndex& index, const std::byte* state, size_t lane, Weight rank,
             duckdb::Vector& out, size_t row) {
    return some(index, state, lane, rank, 1, out, row);
  }
  Status middle(const CallIndex& index, const std::byte* state, size_t lane, Weight rank,
                duckdb::Vector& out, size_t row) {
    return some(index, state, lane, rank, 2, out, row);
  }
  Status some(const CallIndex& index, const std::byte* state, size_t lane, Weight rank,
              Weight count, duckdb::Vector& out, size_t row) {
    TRY(begin());
    for (Weight i = 0; i < count; ++i) {
      auto key = index.groups().nth(state, lane, rank + i);
      if (!key) return Error(Code::internal, "a group has fewer rows than were counted");
      TRY(add(index, *key, 1));
    }
    TRY(flush());
    return program_->finish(out, row);
  }

  duckdb::Value fraction_;
  bool between_;
  duckdb::Vector part_;
};

}  // namespace

std::unique_ptr<IndexReader> IndexReader::end_of(const CallIndex& index, bool last) {
  return std::make_unique<EndReader>(index, last);
}

std::unique_ptr<IndexReader> IndexReader::quantile(std::unique_ptr<duck::AggregateProgram>& program,
                                                   const std::string& function,
                                                   const CallIndex& index) {
  if (!index.ordered() || index.argument_types().size() != 1) return nullptr;
  bool median = function == "median";
  bool between = function == "quantile_cont";
  if (!median && !between && function != "quantile_disc") return nullptr;
  auto fraction = duckdb::Value::DECIMAL(int16_t{5}, 2, 1);
  if (median) {
    between = has_between(index.argument_types()[0]);
  } else {
    if (program->constants().size() != 1) return nullptr;
    fraction = program->constants()[0];
    if (fraction.type().IsNested() || fraction.GetValue<double>() < 0) return nullptr;
    if (fraction.type().id() == LogicalTypeId::DECIMAL &&
        duckdb::DecimalType::GetScale(fraction.type()) > kFractionDigitsMax) {
      return nullptr;
    }
  }
  return std::make_unique<QuantileReader>(std::move(program), index, std::move(fraction), between);
}

std::unique_ptr<IndexReader> IndexReader::whole(std::unique_ptr<duck::AggregateProgram> program,
                                                const CallIndex& index, bool distinct) {
  return std::make_unique<WholeReader>(std::move(program), index, distinct);
}

}  // namespace ziwa::stream
