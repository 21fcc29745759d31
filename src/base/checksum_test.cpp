#include "base/checksum.h"

#include <gtest/gtest.h>

#include <set>

namespace ziwa {
namespace {

TEST(Checksum, Crc32cOfRfc3720) {
  EXPECT_EQ(crc32c(as_bytes("123456789")), 0xE3069283u);
  EXPECT_EQ(crc32c(Bytes(32, std::byte{0})), 0x8A9136AAu);
  EXPECT_EQ(crc32c(Bytes(32, std::byte{0xFF})), 0x62A8AB43u);
}

TEST(Checksum, Crc32cContinues) {
  EXPECT_EQ(crc32c(as_bytes("6789"), crc32c(as_bytes("12345"))), 0xE3069283u);
}

TEST(Checksum, HashSeesEveryByteAndTheLength) {
  std::set<uint64_t> seen;
  std::string text;
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(seen.insert(hash64(as_bytes(text))).second) << i;
    text += '\0';
  }
  std::string base(40, 'a');
  for (size_t i = 0; i < base.size(); ++i) {
    std::string other = base;
    other[i] = 'b';
    EXPECT_TRUE(seen.insert(hash64(as_bytes(other))).second) << i;
  }
}

}  // namespace
}  // namespace ziwa
