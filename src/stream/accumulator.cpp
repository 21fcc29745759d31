#include "stream/accumulator.h"

#include "data/row_key.h"
#include "stream/exact_sum.h"

#include <cmath>
#include <map>

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
  bool result(const std::byte* state, duckdb::Vector& out, size_t row) const override {
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
  bool result(const std::byte* state, duckdb::Vector& out, size_t row) const override {
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
  bool result(const std::byte* state, duckdb::Vector& out, size_t row) const override {
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
  bool result(const std::byte* bytes, duckdb::Vector& out, size_t row) const override {
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

/// min and max of anything that has an order, by its row key.
class Extreme : public Accumulator {
 public:
  Extreme(LogicalType type, bool greatest, data::RowKeyEncoder encoder)
      : type_(std::move(type)), greatest_(greatest), encoder_(std::move(encoder)) {
    argument_.InitializeEmpty({type_});
  }
  LogicalType result_type() const override { return type_; }

 protected:
  /// The keys of the argument, and where it is valid.
  void encode(duckdb::Vector& argument, size_t count, duckdb::UnifiedVectorFormat& format) {
    argument_.data[0].Reference(argument);
    argument_.SetCardinality(count);
    static constexpr size_t kFirst[] = {0};
    encoder_.encode(argument_, kFirst, keys_);
    argument_.data[0].ToUnifiedFormat(count, format);
  }
  bool decode(std::string_view key, duckdb::Vector& out, size_t row) const {
    if (key.empty()) {
      put_null(out, row);
      return true;
    }
    duckdb::DataChunk one;
    one.InitializeEmpty({type_});
    one.data[0].Reference(out);
    static constexpr data::ColumnTarget kFirst[] = {0};
    FlatVector::Validity(out).SetValid(row);
    return encoder_.decode_columns(key, kFirst, one, row).has_value();
  }
  bool better(std::string_view a, std::string_view b) const { return greatest_ ? a > b : a < b; }

  LogicalType type_;
  bool greatest_;
  data::RowKeyEncoder encoder_;
  duckdb::DataChunk argument_;
  data::ByteBlock keys_;
};

/// For rows that are never taken back: one value per group.
class LastingExtreme final : public Extreme {
 public:
  using Extreme::Extreme;
  size_t state_bytes() const override { return sizeof(std::string); }
  void begin(std::byte* state) const override { new (state) std::string(); }
  void end(std::byte* state) const override { as<std::string>(state).~basic_string(); }
  size_t owned_bytes(const std::byte* state) const override {
    size_t capacity = as<std::string>(state).capacity();
    return capacity > 15 ? capacity : 0;
  }
  void update(duckdb::Vector* argument, const Rows& rows) override {
    duckdb::UnifiedVectorFormat format;
    encode(*argument, rows.count, format);
    for_valid(format, rows, [&](size_t row, size_t) {
      auto& best = as<std::string>(rows.groups[row]);
      std::string_view key = keys_[row];
      if (best.empty() || better(key, best)) best = key;
    });
  }
  bool result(const std::byte* state, duckdb::Vector& out, size_t row) const override {
    return decode(as<std::string>(state), out, row);
  }
  void save(const std::byte* state, ByteWriter& out) const override {
    out.sized(as<std::string>(state));
  }
  Status load(std::byte* state, ByteReader& in) const override {
    as<std::string>(state) = in.sized();
    return {};
  }
};

/// For rows that may be taken back: all values of the group in order, with their weights.
class RevocableExtreme final : public Extreme {
 public:
  using Extreme::Extreme;
  using Values = std::map<std::string, Weight, std::less<>>;
  size_t state_bytes() const override { return sizeof(Values*); }
  void begin(std::byte* state) const override { as<Values*>(state) = new Values(); }
  void end(std::byte* state) const override { delete as<Values*>(state); }
  size_t owned_bytes(const std::byte* state) const override {
    return as<Values*>(state)->size() * (sizeof(Values::value_type) + 48);
  }
  void update(duckdb::Vector* argument, const Rows& rows) override {
    duckdb::UnifiedVectorFormat format;
    encode(*argument, rows.count, format);
    for_valid(format, rows, [&](size_t row, size_t) {
      Values& values = *as<Values*>(rows.groups[row]);
      auto at = values.lower_bound(keys_[row]);
      if (at == values.end() || at->first != keys_[row]) {
        at = values.emplace_hint(at, keys_[row], 0);
      }
      at->second += weight_of(rows, row);
      if (at->second == 0) values.erase(at);
    });
  }
  bool result(const std::byte* state, duckdb::Vector& out, size_t row) const override {
    const Values& values = *as<Values*>(state);
    if (values.empty()) return decode({}, out, row);
    return decode(greatest_ ? values.rbegin()->first : values.begin()->first, out, row);
  }
  void save(const std::byte* state, ByteWriter& out) const override {
    const Values& values = *as<Values*>(state);
    out.varint(values.size());
    for (const auto& [key, weight] : values) {
      out.sized(key);
      out.svarint(weight);
    }
  }
  Status load(std::byte* state, ByteReader& in) const override {
    Values& values = *as<Values*>(state);
    auto count = in.varint();
    for (uint64_t i = 0; i < count && in.ok(); ++i) {
      auto key = in.sized();
      auto weight = in.svarint();
      values.emplace_hint(values.end(), key, weight);
    }
    return {};
  }
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
  } else if (function == "min" || function == "max") {
    bool greatest = function == "max";
    auto encoder = TRY(data::RowKeyEncoder::create({argument}));
    if (append_only) {
      return std::make_unique<LastingExtreme>(argument, greatest, std::move(encoder));
    }
    return std::make_unique<RevocableExtreme>(argument, greatest, std::move(encoder));
  }
  return Error(Code::unsupported, "{}({}) cannot be kept incrementally yet", function,
               argument.ToString())
      .with_hint("count, sum, avg of numbers, min and max are kept");
}

}  // namespace ziwa::stream
