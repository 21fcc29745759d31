#include "stream/exact_sum.h"

#include <bit>
#include <cmath>
#include <limits>

namespace ziwa::stream {
namespace {

constexpr int kMantissaBits = 52;
constexpr uint64_t kDigitMask = UINT32_MAX;
constexpr uint32_t kAdditionsMax = 1u << 29;  // Each adds less than 2^33 to a word of 63 bits.

}  // namespace

void ExactSum::add(double value, int64_t weight) {
  auto bits = std::bit_cast<uint64_t>(value);
  auto exponent = static_cast<int>((bits >> kMantissaBits) & 0x7FF);
  auto mantissa = static_cast<int64_t>(bits & ((uint64_t{1} << kMantissaBits) - 1));
  bool negative = (bits >> 63) != 0;
  if (exponent == 0x7FF) {
    (mantissa != 0 ? nan_ : negative ? negative_infinity_ : positive_infinity_) += weight;
    return;
  }
  if (exponent > 0) {
    mantissa |= int64_t{1} << kMantissaBits;
  } else {
    exponent = 1;
  }
  auto position = static_cast<size_t>(exponent - 1);
  constexpr int64_t kWeightMax = int64_t{1} << 40;  // 53 + 31 + 41 bits fit in 127.
  while (weight != 0) {
    int64_t part = weight > kWeightMax ? kWeightMax : weight < -kWeightMax ? -kWeightMax : weight;
    weight -= part;
    auto product = static_cast<__int128>(negative ? -mantissa : mantissa) * part;
    product *= static_cast<__int128>(1) << (position % 32);
    std::array<int64_t, 4> digits;
    for (size_t i = 0; i < 3; ++i) {
      digits[i] = static_cast<int64_t>(static_cast<uint64_t>(product) & kDigitMask);
      product >>= 32;
    }
    digits[3] = static_cast<int64_t>(product);
    add_digits(position / 32, digits);
  }
}

void ExactSum::add_digits(size_t first, const std::array<int64_t, 4>& digits) {
  cover(first, digits.size());
  if (++additions_ >= kAdditionsMax) propagate();
  for (size_t i = 0; i < digits.size(); ++i) words_[first - base_ + i] += digits[i];
}

void ExactSum::cover(size_t first, size_t count) {
  if (words_.empty()) {
    base_ = static_cast<uint32_t>(first);
    words_.assign(count, 0);
    return;
  }
  if (first < base_) {
    words_.insert(words_.begin(), base_ - first, 0);
    base_ = static_cast<uint32_t>(first);
  }
  if (first + count > base_ + words_.size()) words_.resize(first + count - base_, 0);
}

void ExactSum::propagate() {
  additions_ = 0;
  int64_t carry = 0;
  for (auto& word : words_) {
    int64_t sum = word + carry;
    word = static_cast<int64_t>(static_cast<uint64_t>(sum) & kDigitMask);
    carry = sum >> 32;
  }
  // The top word keeps its sign: give the carry back to it, or a new word when it is large.
  if (carry == 0 || words_.empty()) return;
  if (carry == -1) {
    words_.back() += carry * (int64_t{1} << 32);
  } else {
    words_.push_back(carry);
  }
}

bool ExactSum::zero() const {
  if (nan_ != 0 || positive_infinity_ != 0 || negative_infinity_ != 0) return false;
  ExactSum copy = *this;
  copy.propagate();
  for (int64_t word : copy.words_) {
    if (word != 0) return false;
  }
  return true;
}

double ExactSum::value() const {
  if (nan_ > 0 || (positive_infinity_ > 0 && negative_infinity_ > 0)) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  if (positive_infinity_ > 0) return std::numeric_limits<double>::infinity();
  if (negative_infinity_ > 0) return -std::numeric_limits<double>::infinity();
  // Sign and magnitude in 32-bit digits.
  std::array<uint32_t, 80> digits{};
  size_t count = 0;
  int64_t carry = 0;
  for (int64_t word : words_) {
    int64_t sum = word + carry;
    digits[count++] = static_cast<uint32_t>(sum);
    carry = sum >> 32;
  }
  bool negative = carry < 0;
  digits[count++] = static_cast<uint32_t>(carry);
  digits[count++] = static_cast<uint32_t>(carry >> 32);
  if (negative) {
    uint64_t borrow = 1;
    for (size_t i = 0; i < count; ++i) {
      borrow += static_cast<uint32_t>(~digits[i]);
      digits[i] = static_cast<uint32_t>(borrow);
      borrow >>= 32;
    }
  }
  while (count > 0 && digits[count - 1] == 0) --count;
  if (count == 0) return 0.0;
  // The top three digits hold more than 64 significant bits; what is below only says "more than
  // half".
  unsigned __int128 top = 0;
  size_t used = count < 3 ? count : 3;
  for (size_t i = 0; i < used; ++i) top = (top << 32) | digits[count - 1 - i];
  bool sticky = false;
  for (size_t i = 0; i + used < count; ++i) sticky |= digits[i] != 0;
  int exponent = static_cast<int>(32 * (base_ + count - used)) - 1074;
  int width = 0;
  for (auto rest = top; rest != 0; rest >>= 1) ++width;
  int drop = width - 53;
  if (drop > 0) {
    auto dropped = top & ((static_cast<unsigned __int128>(1) << drop) - 1);
    auto half = static_cast<unsigned __int128>(1) << (drop - 1);
    top >>= drop;
    exponent += drop;
    if (dropped > half || (dropped == half && (sticky || (top & 1) != 0))) ++top;
  }
  double magnitude = std::ldexp(static_cast<double>(static_cast<uint64_t>(top)), exponent);
  return negative ? -magnitude : magnitude;
}

void ExactSum::save(ByteWriter& out) const {
  out.svarint(nan_);
  out.svarint(positive_infinity_);
  out.svarint(negative_infinity_);
  ExactSum copy = *this;
  copy.propagate();
  out.varint(copy.base_);
  out.varint(copy.words_.size());
  for (int64_t word : copy.words_) out.svarint(word);
}

Status ExactSum::load(ByteReader& in) {
  nan_ = in.svarint();
  positive_infinity_ = in.svarint();
  negative_infinity_ = in.svarint();
  base_ = static_cast<uint32_t>(in.varint());
  auto count = in.varint();
  constexpr size_t kWordsMax = 76;  // 2^1024 * 2^127 and its carries.
  if (!in.ok() || base_ > kWordsMax || count > kWordsMax) {
    return Error(Code::corrupt, "a stored sum is damaged");
  }
  words_.clear();
  for (uint64_t i = 0; i < count; ++i) words_.push_back(in.svarint());
  additions_ = 0;
  return in.status("a stored sum");
}

}  // namespace ziwa::stream
