#include "stream/window_shape.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <vector>

namespace ziwa::stream {
namespace {

using Kind = WindowShape::Kind;
using Windows = std::vector<std::pair<int64_t, int64_t>>;

Windows windows_of(const WindowShape& shape, int64_t time) {
  Windows out;
  EXPECT_TRUE(
      each_window(shape, time, [&](int64_t start, int64_t end) { out.emplace_back(start, end); }));
  return out;
}

TEST(WindowShape, EachTimeIsInTheWindowsThatHoldIt) {
  const WindowShape tumble{.kind = Kind::tumble, .size_us = 10};
  EXPECT_EQ(windows_of(tumble, 0), (Windows{{0, 10}}));
  EXPECT_EQ(windows_of(tumble, 9), (Windows{{0, 10}}));
  EXPECT_EQ(windows_of(tumble, -1), (Windows{{-10, 0}}));
  const WindowShape hop{.kind = Kind::hop, .size_us = 10, .step_us = 5};
  EXPECT_EQ(windows_of(hop, 4), (Windows{{-5, 5}, {0, 10}}));
  EXPECT_EQ(windows_of(hop, 5), (Windows{{0, 10}, {5, 15}}));
  const WindowShape cumulate{.kind = Kind::cumulate, .size_us = 10, .step_us = 5};
  EXPECT_EQ(windows_of(cumulate, 4), (Windows{{0, 5}, {0, 10}}));
  EXPECT_EQ(windows_of(cumulate, 5), (Windows{{0, 10}}));
  EXPECT_EQ(windows_of(cumulate, -1), (Windows{{-10, 0}}));
  const WindowShape later{.kind = Kind::tumble, .size_us = 10, .offset_us = 3};
  EXPECT_EQ(windows_of(later, 2), (Windows{{-7, 3}}));
  EXPECT_EQ(windows_of({.kind = Kind::tumble, .size_us = 10, .offset_us = -17}, 2),
            (Windows{{-7, 3}}));
}

/// All windows of a shape that begin near 0, by the words of the manual.
Windows all_near(const WindowShape& shape) {
  Windows all;
  const int64_t every = shape.kind == Kind::hop ? shape.step_us : shape.size_us;
  for (int64_t n = -60; n <= 60; ++n) {
    const int64_t start = n * every + shape.offset_us;
    if (shape.kind != Kind::cumulate) {
      all.emplace_back(start, start + shape.size_us);
      continue;
    }
    for (int64_t end = shape.step_us; end <= shape.size_us; end += shape.step_us)
      all.emplace_back(start, start + end);
  }
  return all;
}

TEST(WindowShape, AgreesWithAListOfAllWindows) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 2'000; ++round) {
    WindowShape shape{.kind = static_cast<Kind>(random() % 3)};
    shape.step_us = shape.kind == Kind::tumble ? 0 : static_cast<int64_t>(random() % 5) + 1;
    shape.size_us =
        (shape.step_us == 0 ? 1 : shape.step_us) * (static_cast<int64_t>(random() % 6) + 1);
    shape.offset_us = static_cast<int64_t>(random() % 15) - 7;
    ASSERT_TRUE(check(shape));
    const int64_t time = static_cast<int64_t>(random() % 40) - 20;
    Windows wanted;
    for (const auto& window : all_near(shape)) {
      if (window.first <= time && time < window.second) wanted.push_back(window);
    }
    ASSERT_EQ(windows_of(shape, time), wanted)
        << name_of(shape.kind) << " " << shape.size_us << " " << shape.step_us << " "
        << shape.offset_us << " at " << time;
  }
}

TEST(WindowShape, WindowsOutsideOfTimeAreNone) {
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  for (auto kind : {Kind::tumble, Kind::hop, Kind::cumulate}) {
    const WindowShape shape{
        .kind = kind, .size_us = 1'000, .step_us = kind == Kind::tumble ? 0 : 100};
    for (int64_t time : {kMin, kMin + 5, kMax, kMax - 5}) {
      EXPECT_FALSE(each_window(shape, time, [](int64_t, int64_t) { FAIL(); })) << time;
    }
  }
}

TEST(WindowShape, WhatIsNoShapeIsRefused) {
  EXPECT_TRUE(check({.size_us = 1}));
  EXPECT_FALSE(check({.size_us = 0}));
  EXPECT_FALSE(check({.kind = Kind::hop, .size_us = 10, .step_us = 0}));
  EXPECT_FALSE(check({.kind = Kind::hop, .size_us = 10, .step_us = -5}));
  EXPECT_FALSE(check({.kind = Kind::hop, .size_us = 10, .step_us = 3}));
  EXPECT_FALSE(check({.kind = Kind::hop, .size_us = 5, .step_us = 10}));
  EXPECT_FALSE(check({.kind = Kind::cumulate, .size_us = 10, .step_us = 4}));
  EXPECT_FALSE(check({.kind = Kind::hop, .size_us = kWindowsMax + 1, .step_us = 1}));
  EXPECT_TRUE(check({.kind = Kind::hop, .size_us = kWindowsMax, .step_us = 1}));
}

}  // namespace
}  // namespace ziwa::stream
