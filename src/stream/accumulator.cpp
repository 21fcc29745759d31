#include "stream/accumulator.h"

#include "data/row_key.h"
#include "stream/exact_sum.h"

#include <cmath>

namespace ziwa::stream {
namespace {

using duckdb::FlatVector;
using duckdb::LogicalType;
using duckdb::LogicalTypeId;
using duckdb::PhysicalType;

template <typename State>
State& as(std::byte* state) {
  return *reinterpret_cast<State*>(state);
}
template <typename State>
const State& as(const std::byte* state) {
  return *reinterpret_cast<const State*>(state);
}

template <typename T>
void put(duckdb::Vector& out, size_t row, T value) {
  FlatVector::Validity(out).SetValid(row);
  std::memcpy(out.GetData() + row * sizeof value, &value, sizeof value);
}
void put_null(duckdb::Vector& out, size_t row) { FlatVector::SetNull(out, row, true); }

/// Calls `body(row, index of the value)` for rows that pass and are not NULL.
template <typename Body>
void for_valid(const duckdb::UnifiedVectorFormat& format, const Accumulator::Rows& rows,
               Body body) {
  if (rows.passes == nullptr && format.validity.AllValid()) {
    for (size_t row = 0; row < rows.count; ++row) body(row, format.sel->get_index(row));
    return;
  }
  for (size_t row = 0; row < rows.count; ++row) {
    if (rows.passes != nullptr && rows.passes[row] == 0) continue;
    auto index = format.sel->get_index(row);
    if (format.validity.RowIsValid(index)) body(row, index);
  }
}

Weight weight_of(const Accumulator::Rows& rows, size_t row) {
  return rows.weights == nullptr ? 1 : rows.weights[row];
}

class CountStar final : public Accumulator {
 public:
  LogicalType result_type() const override { return LogicalType::BIGINT; }
  size_t state_bytes() const override { return sizeof(int64_t); }
  void update(duckdb::Vector*, const Rows& rows) override {
    for (size_t row = 0; row < rows.count; ++row) {
      if (rows.passes != nullptr && rows.passes[row] == 0) continue;
      as<int64_t>(rows.groups[row]) += weight_of(rows, row);
    }
  }
  bool result(const std::byte* state, duckdb::Vector& out, size_t row) override {
    put(out, row, as<int64_t>(state));
    return true;
  }
  void save(const std::byte* state, ByteWriter& out) const override {
    out.svarint(as<int64_t>(state));
  }
  Status load(std::byte* state, ByteReader& in) const override {
    as<int64_t>(state) = in.svarint();
    return {};
  }
};

class Count final : public Accumulator {
 public:
  LogicalType result_type() const override { return LogicalType::BIGINT; }
  size_t state_bytes() const override { return sizeof(int64_t); }
  void update(duckdb::Vector* argument, const Rows& rows) override {
    duckdb::UnifiedVectorFormat format;
    argument->ToUnifiedFormat(rows.count, format);
    for_valid(format, rows,
              [&](size_t row, size_t) { as<int64_t>(rows.groups[row]) += weight_of(rows, row); });
  }
  bool result(const std::byte* state, duckdb::Vector& out, size_t row) override {
    put(out, row, as<int64_t>(state));
    return true;
  }
  void save(const std::byte* state, ByteWriter& out) const override {
    out.svarint(as<int64_t>(state));
  }
  Status load(std::byte* state, ByteReader& in) const override {
    as<int64_t>(state) = in.svarint();
    return {};
  }
};

/// A sum that no 64-bit weights of 128-bit values can overflow: 192 bits, two's complement.
struct WideSum {
  unsigned __int128 low = 0;
  int64_t high = 0;
  int64_t count = 0;

  void add(__int128 value, Weight weight) {
    count += weight;
    bool negative = (value < 0) != (weight < 0);
    auto magnitude =
        value < 0 ? -static_cast<unsigned __int128>(value) : static_cast<unsigned __int128>(value);
    auto times = weight < 0 ? -static_cast<uint64_t>(weight) : static_cast<uint64_t>(weight);
    unsigned __int128 bottom = static_cast<uint64_t>(magnitude);
    bottom *= times;
    unsigned __int128 top = magnitude >> 64;
    top = top * times + (bottom >> 64);
    unsigned __int128 product_low = (top << 64) | static_cast<uint64_t>(bottom);
    auto product_high = static_cast<uint64_t>(top >> 64);
    if (negative) {
      product_high = ~product_high + (product_low == 0 ? 1 : 0);
      product_low = -product_low;
    }
    low += product_low;
    high = static_cast<int64_t>(static_cast<uint64_t>(high) + product_high +
                                (low < product_low ? 1 : 0));
  }
  bool fits() const { return high == ((low >> 127) != 0 ? -1 : 0); }
  __int128 value() const { return static_cast<__int128>(low); }
};

struct IntegerSum {
  __int128 sum = 0;
  int64_t count = 0;
  void add(int64_t value, Weight weight) {
    count += weight;
    sum += static_cast<__int128>(value) * weight;
  }
  bool fits() const { return true; }
  __int128 value() const { return sum; }
};

void save_wide(unsigned __int128 value, ByteWriter& out) {
  out.le<uint64_t>(static_cast<uint64_t>(value));
  out.le<uint64_t>(static_cast<uint64_t>(value >> 64));
}
unsigned __int128 load_wide(ByteReader& in) {
  unsigned __int128 low = in.le<uint64_t>();
  return low | (static_cast<unsigned __int128>(in.le<uint64_t>()) << 64);
}

void save_sum(const IntegerSum& sum, ByteWriter& out) {
  out.svarint(sum.count);
  save_wide(static_cast<unsigned __int128>(sum.sum), out);
}
void load_sum(IntegerSum& sum, ByteReader& in) {
  sum.count = in.svarint();
  sum.sum = static_cast<__int128>(load_wide(in));
}
void save_sum(const WideSum& sum, ByteWriter& out) {
  out.svarint(sum.count);
  save_wide(sum.low, out);
  out.svarint(sum.high);
}
void load_sum(WideSum& sum, ByteReader& in) {
  sum.count = in.svarint();
  sum.low = load_wide(in);
  sum.high = in.svarint();
}

/// sum and avg of integers and decimals. `T`: physical argument, `State`: IntegerSum or WideSum.
template <typename T, typename State>
class ExactNumberSum final : public Accumulator {
 public:
  ExactNumberSum(LogicalType result, bool average, long double scale)
      : result_(std::move(result)), average_(average), scale_(scale) {}
  LogicalType result_type() const override { return result_; }
  size_t state_bytes() const override { return sizeof(State); }
  void update(duckdb::Vector* argument, const Rows& rows) override {
    duckdb::UnifiedVectorFormat format;
    argument->ToUnifiedFormat(rows.count, format);
    const auto* data = reinterpret_cast<const T*>(format.data);
    for_valid(format, rows, [&](size_t row, size_t index) {
      as<State>(rows.groups[row]).add(data[index], weight_of(rows, row));
    });
  }
  bool result(const std::byte* state, duckdb::Vector& out, size_t row) override {
    const auto& sum = as<State>(state);
    if (sum.count == 0) {
      put_null(out, row);
      return true;
    }
    if (!sum.fits()) return false;
    if (!average_) {
      put(out, row, sum.value());
    } else if (sizeof(T) == 2) {  // DuckDB divides small integers in double, others in long double.
      put(out, row,
          static_cast<double>(sum.value()) /
              static_cast<double>(static_cast<long double>(sum.count) * scale_));
    } else {
      put(out, row,
          static_cast<double>(static_cast<long double>(sum.value()) /
                              (static_cast<long double>(sum.count) * scale_)));
    }
    return true;
  }
  void save(const std::byte* state, ByteWriter& out) const override {
    save_sum(as<State>(state), out);
  }
  Status load(std::byte* state, ByteReader& in) const override {
    load_sum(as<State>(state), in);
    return {};
  }

 private:
  LogicalType result_;
  bool average_;
  long double scale_;
};

/// sum and avg of floats.
template <typename T>
class FloatSum final : public Accumulator {
 public:
  explicit FloatSum(bool average) : average_(average) {}
  LogicalType result_type() const override { return LogicalType::DOUBLE; }
  size_t state_bytes() const override { return sizeof(State); }
  void begin(std::byte* state) const override { new (state) State(); }
  void end(std::byte* state) const override { as<State>(state).~State(); }
  size_t owned_bytes(const std::byte*) const override { return 4 * sizeof(int64_t); }
  void update(duckdb::Vector* argument, const Rows& rows) override {
    duckdb::UnifiedVectorFormat format;
    argument->ToUnifiedFormat(rows.count, format);
    const auto* data = reinterpret_cast<const T*>(format.data);
    for_valid(format, rows, [&](size_t row, size_t index) {
      auto& state = as<State>(rows.groups[row]);
      Weight weight = weight_of(rows, row);
      state.count += weight;
      state.sum.add(static_cast<double>(data[index]), weight);
    });
  }
  bool result(const std::byte* bytes, duckdb::Vector& out, size_t row) override {
    const auto& state = as<State>(bytes);
    if (state.count == 0) {
      put_null(out, row);
    } else {
      double sum = state.sum.value();
      put(out, row, average_ ? sum / static_cast<double>(state.count) : sum);
    }
    return true;
  }
  void save(const std::byte* state, ByteWriter& out) const override {
    out.svarint(as<State>(state).count);
    as<State>(state).sum.save(out);
  }
  Status load(std::byte* state, ByteReader& in) const override {
    as<State>(state).count = in.svarint();
    return as<State>(state).sum.load(in);
  }

 private:
  struct State {
    int64_t count = 0;
    ExactSum sum;
  };
  bool average_;
};

/// min and max of anything that has an order, by its row key, for rows that are never taken back:
/// one value per group.
class LastingExtreme final : public Accumulator {
 public:
  LastingExtreme(LogicalType type, bool greatest, data::RowKeyEncoder encoder)
      : type_(std::move(type)), greatest_(greatest), encoder_(std::move(encoder)) {
    argument_.InitializeEmpty({type_});
    value_.Initialize(duckdb::Allocator::DefaultAllocator(), {type_});
  }
  LogicalType result_type() const override { return type_; }
  size_t state_bytes() const override { return sizeof(std::string); }
  void begin(std::byte* state) const override { new (state) std::string(); }
  void end(std::byte* state) const override { as<std::string>(state).~basic_string(); }
  size_t owned_bytes(const std::byte* state) const override {
    size_t capacity = as<std::string>(state).capacity();
    return capacity > 15 ? capacity : 0;
  }
  void update(duckdb::Vector* argument, const Rows& rows) override {
    argument_.data[0].Reference(*argument);
    argument_.SetCardinality(rows.count);
    static constexpr size_t kFirst[] = {0};
    encoder_.encode(argument_, kFirst, keys_);
    duckdb::UnifiedVectorFormat format;
    argument_.data[0].ToUnifiedFormat(rows.count, format);
    for_valid(format, rows, [&](size_t row, size_t) {
      auto& best = as<std::string>(rows.groups[row]);
      std::string_view key = keys_[row];
      if (best.empty() || (greatest_ ? key > best : key < best)) best = key;
    });
  }
  bool result(const std::byte* state, duckdb::Vector& out, size_t row) override {
    std::string_view key = as<std::string>(state);
    if (key.empty()) {
      put_null(out, row);
      return true;
    }
    static constexpr data::ColumnTarget kFirst[] = {0};
    reset_chunk(value_);
    if (!encoder_.decode_columns(key, kFirst, value_, 0).has_value()) return false;
    copy_value(value_.data[0], 0, out, row);
    return true;
  }
  void save(const std::byte* state, ByteWriter& out) const override {
    out.sized(as<std::string>(state));
  }
  Status load(std::byte* state, ByteReader& in) const override {
    as<std::string>(state) = in.sized();
    return {};
  }

 private:
  LogicalType type_;
  bool greatest_;
  data::RowKeyEncoder encoder_;
  duckdb::DataChunk argument_;
  duckdb::DataChunk value_;
  data::ByteBlock keys_;
};

template <typename State>
std::unique_ptr<Accumulator> make_sum(PhysicalType physical, LogicalType result, bool average,
                                      long double scale) {
  auto make = [&]<typename T>(T) -> std::unique_ptr<Accumulator> {
    return std::make_unique<ExactNumberSum<T, State>>(result, average, scale);
  };
  switch (physical) {
    case PhysicalType::BOOL:
    case PhysicalType::UINT8:
      return make(uint8_t{});
    case PhysicalType::INT8:
      return make(int8_t{});
    case PhysicalType::INT16:
      return make(int16_t{});
    case PhysicalType::INT32:
      return make(int32_t{});
    case PhysicalType::INT64:
      return make(int64_t{});
    case PhysicalType::UINT16:
      return make(uint16_t{});
    case PhysicalType::UINT32:
      return make(uint32_t{});
    default:
      return nullptr;
  }
}

std::unique_ptr<Accumulator> make_wide_sum(PhysicalType physical, const LogicalType& result,
                                           bool average, long double scale) {
  if (physical == PhysicalType::INT128) {
    return std::make_unique<ExactNumberSum<__int128, WideSum>>(result, average, scale);
  }
  if (physical == PhysicalType::UINT64) {
    return std::make_unique<ExactNumberSum<uint64_t, WideSum>>(result, average, scale);
  }
  return nullptr;
}

bool is_number(const LogicalType& type) {
  return type.IsIntegral() || type.id() == LogicalTypeId::DECIMAL ||
         type.id() == LogicalTypeId::BOOLEAN;
}

std::unique_ptr<Accumulator> make_number_sum(const LogicalType& argument, bool average) {
  if (argument.id() == LogicalTypeId::DOUBLE) return std::make_unique<FloatSum<double>>(average);
  if (argument.id() == LogicalTypeId::FLOAT) return std::make_unique<FloatSum<float>>(average);
  if (!is_number(argument)) return nullptr;
  auto result = LogicalType(LogicalType::HUGEINT);
  long double scale = 1;
  if (argument.id() == LogicalTypeId::DECIMAL) {
    auto digits = duckdb::DecimalType::GetScale(argument);
    result = LogicalType::DECIMAL(38, digits);
    if (average) scale = std::pow(10.0L, digits);
  }
  if (average) result = LogicalType::DOUBLE;
  auto sum = make_sum<IntegerSum>(argument.InternalType(), result, average, scale);
  return sum ? std::move(sum) : make_wide_sum(argument.InternalType(), result, average, scale);
}

}  // namespace

Result<std::unique_ptr<Accumulator>> Accumulator::create(const std::string& function,
                                                         const LogicalType& argument,
                                                         bool append_only) {
  if (function == "count_star") return std::make_unique<CountStar>();
  if (function == "count") return std::make_unique<Count>();
  if (function == "sum" || function == "avg") {
    if (auto sum = make_number_sum(argument, function == "avg")) return sum;
  } else if (append_only && (function == "min" || function == "max")) {
    auto encoder = TRY(data::RowKeyEncoder::create({argument}));
    return std::make_unique<LastingExtreme>(argument, function == "max", std::move(encoder));
  }
  return Error(Code::unsupported, "{}({}) has no accumulator", function, argument.ToString());
}

}  // namespace ziwa::stream
