#include "base/bytes.h"

#include <gtest/gtest.h>

#include <limits>

namespace ziwa {
namespace {

TEST(Bytes, WriterAndReaderRoundTrip) {
  ByteWriter writer;
  writer.le<uint32_t>(0x01020304);
  writer.be<uint32_t>(0x01020304);
  writer.varint(300);
  writer.svarint(std::numeric_limits<int64_t>::min());
  writer.sized("lake");
  EXPECT_EQ(std::to_integer<int>(writer.view()[0]), 4);
  EXPECT_EQ(std::to_integer<int>(writer.view()[4]), 1);
  ByteReader reader(writer.view());
  EXPECT_EQ(reader.le<uint32_t>(), 0x01020304u);
  EXPECT_EQ(reader.be<uint32_t>(), 0x01020304u);
  EXPECT_EQ(reader.varint(), 300u);
  EXPECT_EQ(reader.svarint(), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(reader.sized(), "lake");
  EXPECT_TRUE(reader.ok());
  EXPECT_EQ(reader.remaining(), 0u);
}

TEST(Bytes, ReaderRefusesWhatIsNotThere) {
  ByteWriter writer;
  writer.varint(1000);
  writer.raw("short");
  ByteReader reader(writer.view());
  EXPECT_EQ(reader.sized(), "");
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.status("frame").error().code(), Code::corrupt);
  EXPECT_EQ(reader.le<uint64_t>(), 0u);
}

TEST(Bytes, ReaderRefusesVarintsOfMoreThanTenBytes) {
  Bytes endless(32, std::byte{0x80});
  ByteReader reader(endless);
  reader.varint();
  EXPECT_FALSE(reader.ok());
}

}  // namespace
}  // namespace ziwa
