#include "stream/exact_sum.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace ziwa::stream {
namespace {

double sum_of(const std::vector<double>& values) {
  ExactSum sum;
  for (double value : values) sum.add(value, 1);
  return sum.value();
}

TEST(ExactSum, RoundsOnceAndToEven) {
  EXPECT_EQ(sum_of({}), 0.0);
  EXPECT_EQ(sum_of({0.1, 0.2}), 0.30000000000000004);
  EXPECT_EQ(sum_of({0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1}), 1.0);
  EXPECT_EQ(sum_of({1e308, 1e308, -1e308, -1e308, 5.0}), 5.0);
  EXPECT_EQ(sum_of({1e16, 1.0, 1e-300}), 1e16 + 2.0) << "just above half rounds up";
  EXPECT_EQ(sum_of({1e16, 1.0}), 1e16) << "half rounds to even";
  EXPECT_EQ(sum_of({1e16, 1.0, -1e-300}), 1e16);
  EXPECT_EQ(sum_of({-1e16, -1.0, -1e-300}), -1e16 - 2.0);
  EXPECT_EQ(sum_of({5e-324, 5e-324}), 1e-323);
  EXPECT_EQ(sum_of({2.2250738585072014e-308, -5e-324}), 2.2250738585072009e-308);
  EXPECT_EQ(sum_of({1e308, 1e308}), std::numeric_limits<double>::infinity());
  EXPECT_EQ(sum_of({1e308, 1e308, -1e308}), 1e308);
}

TEST(ExactSum, CountsNanAndInfinity) {
  double inf = std::numeric_limits<double>::infinity();
  double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(sum_of({1, inf}), inf);
  EXPECT_EQ(sum_of({1, -inf}), -inf);
  EXPECT_TRUE(std::isnan(sum_of({inf, -inf})));
  EXPECT_TRUE(std::isnan(sum_of({nan, 1})));
  ExactSum sum;
  sum.add(nan, 1);
  sum.add(inf, 2);
  sum.add(3.5, 1);
  sum.add(nan, -1);
  EXPECT_EQ(sum.value(), inf);
  sum.add(inf, -2);
  EXPECT_EQ(sum.value(), 3.5);
  sum.add(3.5, -1);
  EXPECT_TRUE(sum.zero());
}

TEST(ExactSum, OrderAndRetractionsLeaveNoTrace) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::pair<double, int64_t>> changes;
    ExactSum wanted;
    for (int i = 0; i < 50; ++i) {
      double value = std::ldexp(static_cast<double>(static_cast<int64_t>(random())),
                                static_cast<int>(random() % 1900) - 1000);
      auto weight = static_cast<int64_t>(random() % 7) - 3;
      if (round % 10 == 0) weight *= int64_t{1} << (random() % 60);
      changes.emplace_back(value, weight);
      wanted.add(value, weight);
      double noise = std::ldexp(1.0, static_cast<int>(random() % 2000) - 1000);
      changes.emplace_back(noise, 1);
      changes.emplace_back(noise, -1);
    }
    std::shuffle(changes.begin(), changes.end(), random);
    ExactSum sum;
    for (const auto& [value, weight] : changes) {
      sum.add(value, weight);
      if (random() % 16 == 0) {
        ByteWriter out;
        sum.save(out);
        ExactSum copy;
        ByteReader in(out.view());
        ASSERT_TRUE(copy.load(in).has_value());
        sum = copy;
      }
    }
    EXPECT_EQ(sum.value(), wanted.value());
    for (const auto& [value, weight] : changes) sum.add(value, -weight);
    EXPECT_TRUE(sum.zero());
    EXPECT_EQ(sum.value(), 0.0);
  }
}

TEST(ExactSum, AgreesWithLongDoubles) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 1000; ++round) {
    ExactSum sum;
    long double wanted = 0;  // 30-bit values at one scale: exact in 64 bits of mantissa.
    for (int i = 0; i < 100; ++i) {
      double value = static_cast<double>(static_cast<int32_t>(random())) / 1024;
      sum.add(value, 1);
      wanted += value;
    }
    EXPECT_EQ(sum.value(), static_cast<double>(wanted));
  }
}

}  // namespace
}  // namespace ziwa::stream
