#include "lake/actions_internal.h"

#include <gtest/gtest.h>

namespace ziwa::lake {
namespace {

Code code_of(const std::string& line) {
  auto actions = parse_commit(as_bytes(line));
  EXPECT_FALSE(actions) << line.substr(0, 100);
  return actions ? Code::internal : actions.error().code();
}

TEST(Actions, NumbersThatDoNotFitAreCorrupt) {
  // 2^32 + 1 was cut off to version 1, which we can read.
  EXPECT_EQ(code_of(R"({"protocol":{"minReaderVersion":4294967297,"minWriterVersion":2}})"),
            Code::corrupt);
  EXPECT_EQ(code_of(R"({"add":{"path":"a","size":-1}})"), Code::corrupt);
  EXPECT_EQ(code_of(R"({"add":{"path":"a","size":1e300}})"), Code::corrupt);
  EXPECT_EQ(code_of(R"({"txn":{"appId":"a","version":18446744073709551615}})"), Code::corrupt);
  EXPECT_EQ(code_of(R"({"txn":{"appId":"a","version":1.5}})"), Code::corrupt);
  auto most = parse_commit(as_bytes(R"({"add":{"path":"a","size":18446744073709551615}})"));
  ASSERT_TRUE(most) << most.error().to_string();
  EXPECT_EQ(most->adds[0].file->size, UINT64_MAX);
}

}  // namespace
}  // namespace ziwa::lake
