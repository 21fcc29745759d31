#include "base/result.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace ziwa {
namespace {

Result<int> half(int number) {
  if (number % 2 != 0) return Error(Code::invalid_argument, "{} is odd", number);
  return number / 2;
}
Result<int> quarter(int number) { return TRY(half(TRY(half(number)))); }
Status check_half(int number) {
  TRY(half(number));
  return {};
}

TEST(Result, TryPassesValuesAndErrorsUp) {
  EXPECT_EQ(*quarter(8), 2);
  auto failed = quarter(6);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message(), "3 is odd");
  EXPECT_TRUE(check_half(2));
  EXPECT_FALSE(check_half(3));
}

TEST(Result, TryMovesWhatCannotBeCopied) {
  auto make = []() -> Result<std::unique_ptr<int>> { return std::make_unique<int>(7); };
  auto use = [&]() -> Result<int> {
    auto owned = TRY(make());
    return *owned;
  };
  EXPECT_EQ(*use(), 7);
}

TEST(Error, CarriesHintPositionAndContext) {
  Error error = Error(Code::not_found, "no topic \"{}\"", "x")
                    .with_hint("create it")
                    .at(12)
                    .context("SELECT");
  EXPECT_EQ(error.code(), Code::not_found);
  EXPECT_EQ(error.to_string(), "not_found: SELECT: no topic \"x\" (hint: create it)");
  EXPECT_EQ(error.position(), 12u);
  Error copy = error;
  EXPECT_EQ(copy.to_string(), error.to_string());
}

TEST(Error, KeepsItsCauseOnItsWay) {
  Error error = Error(Code::exhausted, "full").because(Cause::disk_full);
  EXPECT_EQ(code_of(*error.cause()), error.code());
  EXPECT_EQ(cause_name(*error.cause()), "disk_full");
  Error copy = error;
  EXPECT_EQ(copy.cause(), Cause::disk_full);
  Error told = std::move(copy).with_hint("free some").at(1).context("COPY");
  EXPECT_EQ(told.cause(), Cause::disk_full);
  EXPECT_EQ(Error(Code::exhausted, "full").cause(), std::nullopt);
}

TEST(ErrorDeathTest, ACauseFitsItsCode) {
  EXPECT_DEATH(Error(Code::io, "full").because(Cause::disk_full), "disk_full is no cause of io");
}

TEST(Error, ErrnoBecomesACodeThatCallersActOn) {
  EXPECT_EQ(errno_error(ENOSPC, "write f").cause(), Cause::disk_full);
  EXPECT_EQ(errno_error(ENOSPC, "write f").code(), Code::exhausted);
  EXPECT_EQ(errno_error(ENOENT, "open f").code(), Code::not_found);
  EXPECT_EQ(errno_error(EIO, "read f").code(), Code::io);
}

TEST(CheckDeathTest, NamesTheConditionAndTheMessage) {
  EXPECT_DEATH(CHECK(1 > 2, "numbers {}", 12), "1 > 2 numbers 12");
}

}  // namespace
}  // namespace ziwa
