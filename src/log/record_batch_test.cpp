#include "log/record_batch.h"

#include "base/checksum.h"
#include "log/compression_internal.h"
#include "log/testing/packed_batch.h"
#include "log/testing/short_memory.h"

#include <gtest/gtest.h>

#include <lz4frame.h>
#include <snappy-c.h>
#include <thread>
#include <zlib.h>
#include <zstd.h>

namespace ziwa::log {
namespace {

Bytes sample(int16_t attributes = 0) {
  std::vector<NewRecord> records{
      {TimestampMs(1000), as_bytes("k1"), as_bytes("v1")},
      {TimestampMs(1005), std::nullopt, as_bytes("")},
      {TimestampMs(990), as_bytes(""), std::nullopt},
  };
  return encode_batch(records, 7, 2, 40, attributes);
}

std::string hex(ByteView bytes) {
  std::string out;
  for (auto byte : bytes) out += fmt::format("{:02x}", static_cast<int>(byte));
  return out;
}

Bytes with_records(int codec, ByteView records) {
  return testing::with_records(sample(), codec, records);
}

Bytes gzip(ByteView in) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
  Bytes out(deflateBound(&stream, in.size()) + 64);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(in.data()));
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

Bytes snappy(ByteView in) {
  size_t size = snappy_max_compressed_length(in.size());
  Bytes out(size);
  EXPECT_EQ(snappy_compress(reinterpret_cast<const char*>(in.data()), in.size(),
                            reinterpret_cast<char*>(out.data()), &size),
            SNAPPY_OK);
  out.resize(size);
  return out;
}

/// The framing of snappy-java: a header, then blocks with their lengths.
Bytes xerial(ByteView in) {
  ByteWriter writer;
  writer.raw(std::string_view("\x82SNAPPY\0", 8));
  writer.be<int32_t>(1);
  writer.be<int32_t>(1);
  for (size_t at = 0; at < in.size(); at += 10) {
    Bytes block = snappy(in.subspan(at, std::min<size_t>(10, in.size() - at)));
    writer.be<int32_t>(static_cast<int32_t>(block.size()));
    writer.raw(ByteView(block));
  }
  return writer.take();
}

Bytes lz4(ByteView in) {
  Bytes out(LZ4F_compressFrameBound(in.size(), nullptr));
  out.resize(LZ4F_compressFrame(out.data(), out.size(), in.data(), in.size(), nullptr));
  return out;
}

Bytes zstd(ByteView in) {
  Bytes out(ZSTD_compressBound(in.size()));
  out.resize(ZSTD_compress(out.data(), out.size(), in.data(), in.size(), 3));
  return out;
}

Bytes compress(int codec, ByteView in) {
  switch (codec) {
    case 1:
      return gzip(in);
    case 2:
      return snappy(in);
    case 3:
      return lz4(in);
    default:
      return zstd(in);
  }
}

void expect_sample(ByteView batch) {
  ASSERT_TRUE(verify_batch(batch));
  std::vector<RecordView> records;
  Bytes buffer;
  auto read = read_records(batch, records, buffer);
  ASSERT_TRUE(read) << read.error().to_string();
  ASSERT_EQ(records.size(), 3u);
  EXPECT_EQ(as_text(records[0].key), "k1");
  EXPECT_EQ(as_text(records[0].value), "v1");
  EXPECT_EQ(records[1].offset, Offset(1));
  EXPECT_EQ(records[1].timestamp, TimestampMs(1005));
  EXPECT_EQ(records[1].key.data(), nullptr);
  EXPECT_NE(records[1].value.data(), nullptr) << "empty is not null";
  EXPECT_NE(records[2].key.data(), nullptr);
  EXPECT_EQ(records[2].value.data(), nullptr);
  EXPECT_EQ(records[2].timestamp, TimestampMs(990));
}

TEST(RecordBatch, HeaderAndRecordsRoundTrip) {
  Bytes batch = sample();
  auto header = parse_batch_header(batch);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->total_bytes(), batch.size());
  EXPECT_EQ(header->count, 3);
  EXPECT_EQ(header->last_offset_delta, 2);
  EXPECT_EQ(header->max_timestamp, 1005);
  EXPECT_EQ(header->producer_id, 7);
  EXPECT_EQ(header->producer_epoch, 2);
  EXPECT_EQ(header->base_sequence, 40);
  expect_sample(batch);
}

TEST(RecordBatch, GoldenBytes) {
  NewRecord record{TimestampMs(0x0102030405), as_bytes("key"), as_bytes("value")};
  Bytes batch = encode_batch({&record, 1});
  // Laid out by hand from the format's definition.
  EXPECT_EQ(hex(ByteView(batch).subspan(0, 17)),
            "0000000000000000"
            "00000040"
            "00000000"
            "02");
  EXPECT_EQ(hex(ByteView(batch).subspan(21)),
            "0000"
            "00000000"
            "0000000102030405"
            "0000000102030405"
            "ffffffffffffffff"
            "ffff"
            "ffffffff"
            "00000001"
            "1c"
            "00"
            "00"
            "00"
            "06"
            "6b6579"
            "0a"
            "76616c7565"
            "00");
}

TEST(RecordBatch, AFlippedBitIsNoticedEverywhereButInTheFirstSixteenBytes) {
  Bytes batch = sample();
  for (size_t bit = 16 * 8; bit < batch.size() * 8; ++bit) {
    Bytes flipped = batch;
    flipped[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
    EXPECT_FALSE(verify_batch(flipped)) << bit;
  }
}

TEST(RecordBatch, EveryCutIsRefused) {
  Bytes batch = sample();
  for (size_t size = 0; size < batch.size(); ++size) {
    EXPECT_FALSE(parse_batch_header(ByteView(batch).subspan(0, size))) << size;
  }
  batch.push_back(std::byte{0});
  EXPECT_FALSE(verify_batch(batch)) << "bytes after the batch";
}

TEST(RecordBatch, OldMessageFormatsAreNamed) {
  Bytes batch = sample();
  batch[16] = std::byte{1};
  auto header = parse_batch_header(batch);
  ASSERT_FALSE(header);
  EXPECT_EQ(header.error().code(), Code::unsupported);
}

TEST(RecordBatch, EveryCodecIsRead) {
  Bytes batch = sample();
  ByteView records = ByteView(batch).subspan(kBatchHeaderBytes);
  for (int codec = 1; codec <= 4; ++codec) {
    SCOPED_TRACE(codec);
    expect_sample(with_records(codec, compress(codec, records)));
  }
  expect_sample(with_records(2, xerial(records)));
}

TEST(RecordBatch, UnknownCodecsAreUnsupported) {
  Bytes batch = with_records(5, as_bytes("whatever"));
  std::vector<RecordView> records;
  Bytes buffer;
  auto read = read_records(batch, records, buffer);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code(), Code::unsupported);
}

TEST(RecordBatch, LogAppendTimeRulesOverTheRecordsOwn) {
  Bytes batch = sample(0x08);
  std::vector<RecordView> records;
  Bytes buffer;
  ASSERT_TRUE(read_records(batch, records, buffer));
  for (const auto& record : records) EXPECT_EQ(record.timestamp, TimestampMs(1005));
}

TEST(RecordBatch, LyingCountsAndLengthsAreCorruptAndLeaveNothing) {
  Bytes good = sample();
  for (size_t at : {size_t{57}, size_t{58}, size_t{60}, size_t{61}, size_t{65}, size_t{68}}) {
    Bytes bad = good;
    bad[at] = std::byte{0x7F};
    std::vector<RecordView> records;
    Bytes buffer;
    EXPECT_FALSE(read_records(bad, records, buffer)) << at;
    EXPECT_TRUE(records.empty());
  }
}

Code check(ByteView batch, size_t limit = kUnpackedBytesMax) {
  auto checked = check_records(batch, limit);
  return checked ? Code::internal : checked.error().code();
}

TEST(RecordBatch, GoodRecordsPassTheCheckUnderEveryCodec) {
  Bytes batch = sample();
  ByteView records = ByteView(batch).subspan(kBatchHeaderBytes);
  EXPECT_TRUE(check_records(batch));
  for (int codec = 1; codec <= 4; ++codec)
    EXPECT_TRUE(check_records(with_records(codec, compress(codec, records)))) << codec;
}

TEST(RecordBatch, WhatNoReaderCouldReadDoesNotPassTheCheck) {
  Bytes good = sample();
  ByteView records = ByteView(good).subspan(kBatchHeaderBytes);
  // Every byte of the records in turn: whatever the check lets through is read.
  for (size_t at = 0; at < records.size(); ++at) {
    for (int value : {0x00, 0x01, 0x7F, 0x80, 0xFF}) {
      Bytes bad(records.begin(), records.end());
      bad[at] = static_cast<std::byte>(value);
      for (int codec : {0, 4}) {
        Bytes batch = with_records(codec, codec == 0 ? bad : compress(codec, bad));
        std::vector<RecordView> read;
        Bytes buffer;
        bool readable = read_records(batch, read, buffer).has_value();
        if (check_records(batch)) EXPECT_TRUE(readable) << at << " " << value;
        if (!readable) EXPECT_EQ(check(batch), Code::invalid_argument) << at << " " << value;
      }
    }
  }
  for (int codec = 0; codec <= 4; ++codec) {
    SCOPED_TRACE(codec);
    Bytes more(records.begin(), records.end());
    more.push_back(std::byte{0});
    EXPECT_EQ(check(with_records(codec, codec == 0 ? more : compress(codec, more))),
              Code::invalid_argument);
    ByteView fewer = records.subspan(0, records.size() - 1);
    EXPECT_EQ(check(with_records(
                  codec, codec == 0 ? Bytes(fewer.begin(), fewer.end()) : compress(codec, fewer))),
              Code::invalid_argument);
    if (codec == 0) continue;
    EXPECT_EQ(check(with_records(codec, as_bytes("not compressed at all"))),
              Code::invalid_argument);
    EXPECT_EQ(check(with_records(codec, compress(codec, records)), records.size() - 1),
              Code::invalid_argument)
        << "unpacks to more than the limit";
  }
}

TEST(RecordBatch, TheFrameOfACompressedBatchIsCheckedWithoutUnpackingIt) {
  Bytes batch = sample();
  Bytes zeroes(3u << 20);
  ByteView records = ByteView(batch).subspan(kBatchHeaderBytes);
  auto frame_only = [](ByteView batch, size_t limit) { return check_records(batch, limit, false); };
  for (int codec = 1; codec <= 4; ++codec) {
    SCOPED_TRACE(codec);
    Bytes whole = compress(codec, records);
    EXPECT_TRUE(frame_only(with_records(codec, whole), 1u << 20));
    if (codec != 2) {  // A block of snappy is a length and data: nothing tells it from others.
      EXPECT_FALSE(frame_only(with_records(codec, as_bytes("not compressed at all")), 1u << 20));
    }
    EXPECT_FALSE(frame_only(with_records(codec, {}), 1u << 20));
    Bytes bomb = compress(codec, zeroes);
    EXPECT_FALSE(frame_only(with_records(codec, bomb), 1u << 20));
    EXPECT_GE(unpacked_at_most(codec, bomb).value(), zeroes.size());
    EXPECT_LE(unpacked_at_most(codec, bomb).value(), zeroes.size() + (4u << 20));
    Bytes few = with_records(codec, whole);
    if (codec == 3) continue;  // A block of lz4 may hold 64 KiB, so a small lie is not seen.
    store_be<int32_t>(few.data() + 57, 100);
    EXPECT_FALSE(frame_only(few, 1u << 20)) << "more records than there are bytes for";
  }
  EXPECT_TRUE(frame_only(with_records(2, xerial(records)), 1u << 20));
  EXPECT_FALSE(frame_only(with_records(2, xerial(records)), records.size() - 1));
  for (int codec : {3, 4}) {
    Bytes whole = compress(codec, zeroes);
    for (size_t size = 0; size < whole.size(); ++size)
      EXPECT_FALSE(unpacked_at_most(codec, ByteView(whole).subspan(0, size)) && size > 0) << size;
  }
}

TEST(RecordBatch, OffsetDeltasOtherThanOneByOneDoNotPassTheCheck) {
  Bytes batch = sample();
  // The second record: length, attributes, timestamp delta, then its offset delta.
  size_t second = kBatchHeaderBytes + 1 + (static_cast<size_t>(batch[kBatchHeaderBytes]) >> 1);
  ASSERT_EQ(batch[second + 3], std::byte{2});
  for (int delta : {0, 4}) {
    batch[second + 3] = static_cast<std::byte>(delta);
    std::vector<RecordView> read;
    Bytes buffer;
    EXPECT_TRUE(read_records(batch, read, buffer));
    EXPECT_EQ(check(batch), Code::invalid_argument);
  }
}

TEST(RecordBatch, RecordHeadersMustBeWhole) {
  // Attributes, timestamp, offset, no key, no value, then the headers.
  auto batch_of = [](std::initializer_list<int> headers) {
    NewRecord record{TimestampMs(1000), std::nullopt, std::nullopt};
    Bytes records = {static_cast<std::byte>((5 + headers.size()) * 2)};
    for (int byte : {0, 0, 0, 1, 1}) records.push_back(static_cast<std::byte>(byte));
    for (int byte : headers) records.push_back(static_cast<std::byte>(byte));
    return testing::with_records(encode_batch({&record, 1}), 0, records);
  };
  EXPECT_TRUE(check_records(batch_of({0})));
  EXPECT_TRUE(check_records(batch_of({2, 2, 'h', 4, 'v', 'w'}))) << "h = vw";
  EXPECT_TRUE(check_records(batch_of({4, 2, 'h', 1, 0, 0}))) << "h = null, an empty name and value";
  EXPECT_EQ(check(batch_of({})), Code::invalid_argument) << "no count";
  EXPECT_EQ(check(batch_of({1})), Code::invalid_argument) << "-1 headers";
  EXPECT_EQ(check(batch_of({2, 1, 0})), Code::invalid_argument) << "a name that is null";
  EXPECT_EQ(check(batch_of({2, 2, 'h', 4, 'v'})), Code::invalid_argument) << "a cut value";
  EXPECT_EQ(check(batch_of({0, 0})), Code::invalid_argument) << "bytes behind them";
  EXPECT_EQ(check(batch_of({0x7E, 2, 'h', 4, 'v', 'w'})), Code::invalid_argument) << "63 headers";
}

TEST(RecordBatch, ControlBatchesSayHowTheTransactionEnded) {
  for (bool commit : {true, false}) {
    Bytes batch = encode_control_batch(commit, 5, 1, TimestampMs(9));
    ASSERT_TRUE(verify_batch(batch));
    auto header = parse_batch_header(batch);
    EXPECT_TRUE(header->control());
    EXPECT_TRUE(header->transactional());
    EXPECT_EQ(*control_commits(batch), commit);
  }
}

TEST(Compression, BombsStopAtTheLimit) {
  Bytes zeroes(8u << 20);
  for (int codec = 1; codec <= 4; ++codec) {
    Bytes bomb = compress(codec, zeroes);
    Bytes out;
    auto result = decompress(codec, bomb, out, 1u << 20);
    ASSERT_FALSE(result) << codec;
    EXPECT_EQ(result.error().code(), Code::exhausted) << codec;
    EXPECT_LE(out.capacity(), 2u << 20);
    EXPECT_TRUE(decompress(codec, bomb, out, zeroes.size()))
        << "exactly at the limit, codec " << codec;
    EXPECT_EQ(out, zeroes);
  }
}

TEST(Compression, CutAndDamagedStreamsAreCorrupt) {
  Bytes text;
  for (int i = 0; i < 3000; ++i) text.push_back(static_cast<std::byte>(i * i % 251));
  for (int codec = 1; codec <= 4; ++codec) {
    Bytes whole = compress(codec, text);
    for (size_t size = 0; size < whole.size(); size += 1 + size / 10) {
      Bytes out;
      auto result = decompress(codec, ByteView(whole).subspan(0, size), out, 1u << 20);
      EXPECT_FALSE(result && out == text) << codec << " cut to " << size;
    }
  }
}

TEST(Compression, AShortageOfMemoryPassesAndSaysNothingOfTheBatch) {
  for (int codec : {1, 3, 4}) {
    Bytes batch =
        with_records(codec, compress(codec, ByteView(sample()).subspan(kBatchHeaderBytes)));
    // A thread of its own: decompressors are kept by their thread.
    std::thread([&] {
      std::vector<RecordView> records;
      Bytes buffer;
      testing::fail_decompressors(1);
      auto read = read_records(batch, records, buffer);
      ASSERT_FALSE(read) << codec;
      EXPECT_EQ(read.error().code(), Code::exhausted);
      EXPECT_FALSE(is_of_batch(read.error()));
      expect_sample(batch);
      testing::fail_decompressors(codec == 4 ? 0 : 1);
      auto checked = check_records(batch);
      EXPECT_EQ(checked.has_value(), codec == 4);
      if (!checked)
        EXPECT_EQ(checked.error().code(), Code::exhausted) << "not the producer's fault";
      testing::fail_decompressors(0);
      EXPECT_TRUE(check_records(batch));
    }).join();
  }
  std::vector<RecordView> none;
  Bytes buffer;
  auto large = read_records(with_records(2, compress(2, Bytes(1'000))), none, buffer, 100);
  ASSERT_FALSE(large);
  EXPECT_TRUE(is_of_batch(large.error())) << "a limit is for ever";
}

}  // namespace
}  // namespace ziwa::log
