#include "sql/pin.h"

#include <gtest/gtest.h>

namespace ziwa::sql {
namespace {

stream::PublishedPtr published(uint64_t epoch) {
  auto made = std::make_shared<stream::Published>();
  made->epoch = Epoch(epoch);
  return made;
}

TEST(Pins, OldOnesAreLetGoByName) {
  ManualClock clock;
  Pins pins(clock, {.age_max_ms = 1'000});
  auto state = published(7);
  std::weak_ptr<const stream::Published> held = state;
  PinPtr pin = *pins.take(std::move(state));
  clock.advance(std::chrono::milliseconds(1'000));
  pins.sweep();
  ASSERT_TRUE(pin->published());
  clock.advance(std::chrono::milliseconds(1));
  PinPtr younger = *pins.take(published(8));
  EXPECT_TRUE(pin->expired());
  EXPECT_TRUE(held.expired()) << "what it held must be free";
  auto gone = pin->published();
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code(), Code::unavailable);
  EXPECT_NE(gone.error().message().find("sql.pin.age.max"), std::string::npos);
  EXPECT_EQ(pin->epoch(), Epoch(7));
  EXPECT_TRUE(younger->published());
}

TEST(Pins, HaveALimitAndForgetThoseThatEnded) {
  ManualClock clock;
  Pins pins(clock, {.count_max = 2});
  PinPtr first = *pins.take(published(1));
  PinPtr second = *pins.take(published(1));
  EXPECT_EQ(pins.take(published(1)).error().code(), Code::exhausted);
  second.reset();
  EXPECT_TRUE(pins.take(published(1)));
}

}  // namespace
}  // namespace ziwa::sql
