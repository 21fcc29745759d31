#include "data/sound_value_internal.h"

namespace ziwa::data {
namespace {

using duckdb::LogicalTypeId;

constexpr int64_t kMicrosPerDay = 86'400'000'000;
constexpr int64_t kNanosPerMicro = 1'000;

bool is_text(std::string_view text) {
  char bits = 0;
  for (char byte : text) bits = static_cast<char>(bits | byte);
  return bits >= 0 || duckdb::Value::StringIsValid(text.data(), text.size());
}

template <typename T>
T load(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

bool is_time_tz(uint64_t bits) {
  constexpr int kOffsetBits = 24;
  constexpr uint64_t kOffsets = 2 * uint64_t{duckdb::dtime_tz_t::MAX_OFFSET};
  return bits >> kOffsetBits <= uint64_t{kMicrosPerDay} &&
         (bits & ((uint64_t{1} << kOffsetBits) - 1)) <= kOffsets;
}

bool is_within(int64_t value, int64_t max) { return value >= 0 && value <= max; }

}  // namespace

bool is_sound_bytes(const duckdb::LogicalType& type, std::string_view bytes) {
  constexpr size_t kBignumHeaderBytes = 3;
  switch (type.id()) {
    case LogicalTypeId::VARCHAR:
      return is_text(bytes);
    case LogicalTypeId::BIT:  // How many bits of the first byte do not count, and the bits.
      return bytes.size() > 1 && static_cast<uint8_t>(bytes[0]) < 8;
    case LogicalTypeId::BIGNUM:
      return bytes.size() > kBignumHeaderBytes;
    default:
      return true;
  }
}

bool is_sound_fixed(const duckdb::LogicalType& type, const void* value) {
  switch (type.id()) {
    case LogicalTypeId::BOOLEAN:
      return load<uint8_t>(value) <= 1;
    case LogicalTypeId::TIME:
      return is_within(load<int64_t>(value), kMicrosPerDay);
    case LogicalTypeId::TIME_NS:
      return is_within(load<int64_t>(value), kMicrosPerDay * kNanosPerMicro);
    case LogicalTypeId::TIME_TZ:
      return is_time_tz(load<uint64_t>(value));
    case LogicalTypeId::ENUM: {
      uint64_t index = 0;
      std::memcpy(&index, value, duckdb::GetTypeIdSize(type.InternalType()));
      return index < duckdb::EnumType::GetSize(type);
    }
    default:
      return true;
  }
}

}  // namespace ziwa::data
