#include "app/disorder.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace ziwa::app {
namespace {

constexpr int64_t kMinuteUs = 60'000'000;

/// Sends `count` events, one a minute; the slot is the event's number.
std::vector<uint32_t> send_all(Disorder::Options options, uint32_t count,
                               size_t* held_max = nullptr) {
  Disorder disorder(options);
  std::vector<uint32_t> sent;
  size_t held = 0;
  for (uint32_t i = 0; i < count; ++i) {
    while (auto due = disorder.pop_before(i * kMinuteUs)) {
      sent.push_back(*due);
      --held;
    }
    disorder.push(i, i * kMinuteUs, i);
    if (held_max != nullptr) *held_max = std::max(*held_max, ++held);
  }
  while (auto last = disorder.pop()) sent.push_back(*last);
  return sent;
}

TEST(Disorder, none_keeps_the_order) {
  auto sent = send_all({}, 1'000);
  EXPECT_TRUE(std::ranges::is_sorted(sent));
  EXPECT_EQ(sent.size(), 1'000u);
}

TEST(Disorder, every_event_once_and_the_same_for_the_same_seed) {
  Disorder::Options options{
      .within_us = 10 * kMinuteUs, .late_fraction = 0.01, .late_by_us = 360 * kMinuteUs, .seed = 7};
  auto sent = send_all(options, 20'000);
  EXPECT_EQ(sent, send_all(options, 20'000));
  options.seed = 8;
  EXPECT_NE(sent, send_all(options, 20'000));
  std::ranges::sort(sent);
  for (uint32_t i = 0; i < sent.size(); ++i) ASSERT_EQ(sent[i], i);
}

TEST(Disorder, most_are_within_the_bound_and_the_late_ones_far_beyond) {
  size_t held_max = 0;
  auto sent = send_all({.within_us = 10 * kMinuteUs,
                        .late_fraction = 0.01,
                        .late_by_us = 360 * kMinuteUs,
                        .seed = 3},
                       100'000, &held_max);
  uint32_t newest = 0;
  size_t disordered = 0;
  size_t late = 0;
  for (uint32_t number : sent) {
    if (number < newest) ++disordered;
    uint32_t behind = newest > number ? newest - number : 0;
    EXPECT_TRUE(behind <= 10 || behind >= 340 || number > 99'200) << number << " after " << newest;
    if (behind > 10) ++late;
    newest = std::max(newest, number);
  }
  EXPECT_GT(disordered, 50'000u);
  EXPECT_NEAR(static_cast<double>(late), 1'000, 150);
  EXPECT_LT(held_max, 50u);  // 10 minutes and 1 % of 6 to 12 hours.
}

}  // namespace
}  // namespace ziwa::app
