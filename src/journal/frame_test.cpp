#include "base/checksum.h"
#include "base/sim_file.h"
#include "journal/frame_internal.h"

#include <gtest/gtest.h>

namespace ziwa::journal {
namespace {

std::vector<Body> every_body() {
  PartitionEnd a{{ObjectId(7), 3}, Offset(1'000'000)};
  PartitionEnd b{{ObjectId(8), 0}, Offset(0)};
  return {LogCommit{{a, b}},
          TransactionDecision{"tx", 12, 3, true, {a}},
          SourceCut{ObjectId(4), "lsn 0/16"},
          DeltaVersion{ObjectId(5), 9},
          CatalogChange{77},
          IdleMark{.id = {ObjectId(7), 1}, .seen = {}},
          IdleMark{.id = {ObjectId(7), 1}, .seen = Offset(300)},
          ClockTick{},
          LogStart{a},
          Opened{true}};
}

Frame frame_of(Body body) {
  return {.number = EntryNumber(42),
          .time = TimestampMs(1234),
          .synced_through = EntryNumber(41),
          .body = std::move(body)};
}

TEST(Frame, EveryBodyRoundTrips) {
  for (const auto& body : every_body()) {
    ByteWriter writer;
    encode_frame(writer, frame_of(body));
    size_t size = 0;
    auto frame = decode_frame(writer.view(), &size);
    ASSERT_TRUE(frame) << frame.error().to_string();
    EXPECT_EQ(size, writer.size());
    EXPECT_EQ(frame->number, EntryNumber(42));
    EXPECT_EQ(frame->time, TimestampMs(1234));
    EXPECT_EQ(frame->synced_through, EntryNumber(41));
    ASSERT_EQ(frame->body.index(), body.index());
    ByteWriter again;
    encode_frame(again, *frame);
    EXPECT_EQ(again.buffer(), writer.buffer());
  }
}

TEST(Frame, GoldenBytesOfVersion1) {
  ByteWriter writer;
  encode_frame(writer, frame_of(LogCommit{{{{ObjectId(7), 3}, Offset(300)}}}));
  std::string hex;
  for (auto byte : writer.view()) hex += fmt::format("{:02x}", static_cast<int>(byte));
  EXPECT_EQ(hex.substr(16),
            "2a00000000000000d20400000000000029000000000000000101"
            "0703ac02");
  EXPECT_EQ(hex.substr(0, 8), "1e000000");
}

TEST(Frame, AnyFlippedBitAndAnyCutIsNoticed) {
  ByteWriter writer;
  encode_frame(writer, frame_of(every_body()[1]));
  size_t size = 0;
  for (size_t bit = 0; bit < writer.size() * 8; ++bit) {
    Bytes bytes = writer.buffer();
    bytes[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
    EXPECT_FALSE(decode_frame(bytes, &size)) << "bit " << bit;
  }
  for (size_t length = 0; length < writer.size(); ++length) {
    EXPECT_FALSE(decode_frame(writer.view().subspan(0, length), &size)) << "length " << length;
  }
}

TEST(Frame, HeaderOfANewerFormatIsRefusedByName) {
  Bytes header = encode_file_header({.first = EntryNumber(5)});
  EXPECT_TRUE(decode_file_header(header));
  store_le<uint32_t>(header.data() + 4, kFormatVersion + 1);
  auto newer = decode_file_header(header);
  ASSERT_FALSE(newer);
  EXPECT_EQ(newer.error().code(), Code::unsupported);
  EXPECT_NE(newer.error().hint().find("backup"), std::string::npos) << "its checksum is another";
  constexpr size_t kCrcAt = kFileHeaderBytes - 8;
  store_le(header.data() + kCrcAt, crc32c(ByteView(header).subspan(0, kCrcAt)));
  newer = decode_file_header(header);
  ASSERT_FALSE(newer);
  EXPECT_EQ(newer.error().code(), Code::unsupported);
  EXPECT_NE(newer.error().hint(), "");
  EXPECT_EQ(newer.error().hint().find("backup"), std::string::npos) << "it is sound";
}

TEST(Frame, ReaderStopsAtZeroesAndAtDamage) {
  SimFileSystem fs;
  std::shared_ptr<File> file = *fs.open("f", OpenMode::create);
  ByteWriter writer;
  for (uint64_t n = 1; n <= 3; ++n) {
    Frame frame = frame_of(ClockTick{});
    frame.number = EntryNumber(n);
    encode_frame(writer, frame);
  }
  ASSERT_TRUE(file->append(writer.view()));
  ASSERT_TRUE(file->append(Bytes(100)));
  FrameReader reader(*file, 0);
  Frame frame;
  for (uint64_t n = 1; n <= 3; ++n) {
    ASSERT_EQ(*reader.next(frame), FrameReader::Outcome::frame);
    EXPECT_EQ(frame.number, EntryNumber(n));
  }
  EXPECT_EQ(*reader.next(frame), FrameReader::Outcome::end);
  ASSERT_TRUE(file->write_at(reader.position() + 50, as_bytes("x")));
  FrameReader damaged(*file, reader.position());
  EXPECT_EQ(*damaged.next(frame), FrameReader::Outcome::end) << "a zero length ends the file";
  ASSERT_TRUE(file->write_at(reader.position(), as_bytes("x")));
  FrameReader bad(*file, reader.position());
  EXPECT_EQ(*bad.next(frame), FrameReader::Outcome::bad);
}

}  // namespace
}  // namespace ziwa::journal
