#include "sql/partitioner.h"

#include <gtest/gtest.h>

namespace ziwa::sql {
namespace {

// Golden values of Kafka's own test:
// clients/src/test/java/org/apache/kafka/common/utils/UtilsTest.java.
TEST(Partitioner, Murmur2IsKafkas) {
  auto hash = [](std::string_view key) { return static_cast<int32_t>(murmur2(as_bytes(key))); };
  EXPECT_EQ(hash("21"), -973932308);
  EXPECT_EQ(hash("foobar"), -790332482);
  EXPECT_EQ(hash("a-little-bit-long-string"), -985981536);
  EXPECT_EQ(hash("a-little-bit-longer-string"), -1486304829);
  EXPECT_EQ(hash("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8"), -58897971);
  EXPECT_EQ(hash("abc"), 479470107);
}

TEST(Partitioner, StaysInRange) {
  for (int i = 0; i < 1000; ++i) {
    int32_t partition = partition_of_key(as_bytes(std::to_string(i)), 7);
    EXPECT_GE(partition, 0);
    EXPECT_LT(partition, 7);
  }
}

}  // namespace
}  // namespace ziwa::sql
