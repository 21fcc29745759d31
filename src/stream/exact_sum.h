#pragma once

#include "base/bytes.h"

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

namespace ziwa::stream {

/// The exact sum of doubles, each with a weight: the order of additions does not matter, taking a
/// value back leaves no trace, and value() is the true sum rounded once. A fixed-point number of
/// 32-bit digits in 64-bit words with late carries, kept only where there are digits.
/// Source: R. Neal, Fast exact summation using small and large superaccumulators, 2015.
class ExactSum {
 public:
  void add(double value, int64_t weight);
  /// NaN and infinities as IEEE: NaN if any NaN, or infinities of both signs.
  double value() const;
  bool zero() const;

  void save(ByteWriter& out) const;
  Status load(ByteReader& in);

 private:
  void add_digits(size_t first, const std::array<int64_t, 4>& digits);
  void propagate();
  void cover(size_t first, size_t count);

  int64_t nan_ = 0;
  int64_t positive_infinity_ = 0;
  int64_t negative_infinity_ = 0;
  uint32_t base_ = 0;  ///< words_[i] counts 2^(32 * (base_ + i) - 1074).
  uint32_t additions_ = 0;
  std::vector<int64_t> words_;
};

}  // namespace ziwa::stream
