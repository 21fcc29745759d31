#include "log/record_batch.h"

#include "base/checksum.h"
#include "log/compression_internal.h"

#include <algorithm>
#include <limits>

namespace ziwa::log {

namespace {

constexpr size_t kLengthAt = 8;
constexpr size_t kEpochAt = 12;
constexpr size_t kMagicAt = 16;
constexpr size_t kCrcAt = 17;
constexpr size_t kAttributesAt = 21;
/// The smallest record: seven one-byte fields.
constexpr size_t kRecordBytesMin = 7;
constexpr int16_t kLogAppendTime = 0x08;

Error cut_off(size_t have) {
  return Error(Code::corrupt, "record batch is cut off after {} bytes", have);
}

/// Reads a length and that many bytes; -1 is null.
bool read_nullable(ByteReader& reader, ByteView& out) {
  int64_t length = reader.svarint();
  if (!reader.ok() || length < -1) return false;
  if (length == -1) {
    out = {};
    return true;
  }
  out = reader.raw(static_cast<size_t>(length));
  return reader.ok();
}

bool read_record(ByteReader& reader, const BatchHeader& header, RecordView& out) {
  int64_t length = reader.svarint();
  if (!reader.ok() || length < 0) return false;
  ByteView bytes = reader.raw(static_cast<size_t>(length));
  if (!reader.ok()) return false;
  ByteReader fields(bytes);
  fields.le<int8_t>();
  int64_t timestamp_delta = fields.svarint();
  int64_t offset_delta = fields.svarint();
  if (!fields.ok() || offset_delta < 0 || offset_delta > header.last_offset_delta) return false;
  if (!read_nullable(fields, out.key) || !read_nullable(fields, out.value)) return false;
  out.headers = fields.raw(fields.remaining());
  out.offset = Offset(header.base_offset + offset_delta);
  bool append_time = (header.attributes & kLogAppendTime) != 0;
  // Unsigned: a hostile delta may overflow, and must only give a wrong time.
  auto sum = static_cast<uint64_t>(header.base_timestamp) + static_cast<uint64_t>(timestamp_delta);
  out.timestamp = TimestampMs(append_time ? header.max_timestamp : static_cast<int64_t>(sum));
  return true;
}

/// Goes through the fields of a record and keeps none of them: every batch that is appended pays
/// for it.
class RecordWalk {
 public:
  explicit RecordWalk(ByteView bytes) : at_(bytes.data()), end_(at_ + bytes.size()) {}

  bool number(int64_t& out) {
    if (at_ != end_ && static_cast<uint8_t>(*at_) < 0x80) [[likely]] {
      out = unzigzag(static_cast<uint8_t>(*at_++));
      return true;
    }
    ByteReader reader(ByteView(at_, end_));
    out = reader.svarint();
    at_ += reader.position();
    return reader.ok();
  }
  bool skip(int64_t bytes) {
    if (bytes < 0 || bytes > end_ - at_) return false;
    at_ += bytes;
    return true;
  }
  /// A length and that many bytes.
  bool skip_sized(int64_t length_min) {
    int64_t length = 0;
    return number(length) && length >= length_min && (length == -1 || skip(length));
  }
  bool skip_headers() {
    int64_t count = 0;
    if (!number(count) || count < 0) return false;
    // A header takes two bytes at least, so that a count that lies soon comes to the end.
    for (; count > 0; --count) {
      if (!skip_sized(0) || !skip_sized(-1)) return false;
    }
    return true;
  }
  /// The record that begins here, as a walk of its own.
  bool record(RecordWalk& out) {
    int64_t length = 0;
    if (!number(length)) return false;
    out = RecordWalk(ByteView(at_, at_));
    if (!skip(length)) return false;
    out.end_ = at_;
    return true;
  }
  ptrdiff_t left() const { return end_ - at_; }

 private:
  const std::byte* at_;
  const std::byte* end_;
};

Status check_walk(const BatchHeader& header, ByteView records) {
  RecordWalk walk(records);
  RecordWalk record({});
  for (int32_t i = 0; i < header.count; ++i) {
    int64_t time = 0;
    int64_t delta = 0;
    bool whole = walk.record(record) && record.skip(1) && record.number(time) &&
                 record.number(delta) && record.skip_sized(-1) && record.skip_sized(-1) &&
                 record.skip_headers() && record.left() == 0;
    if (!whole) {
      return Error(Code::invalid_argument, "record {} of {} in the batch is malformed", i,
                   header.count);
    }
    if (delta != i) {
      return Error(Code::invalid_argument, "record {} of the batch has the offset delta {}", i,
                   delta);
    }
  }
  if (walk.left() == 0) return {};
  return Error(Code::invalid_argument, "{} bytes follow the {} records of the batch", walk.left(),
               header.count);
}

void write_nullable(ByteWriter& writer, const std::optional<ByteView>& bytes) {
  writer.svarint(bytes ? static_cast<int64_t>(bytes->size()) : -1);
  if (bytes) writer.raw(*bytes);
}

void write_record(ByteWriter& writer, ByteWriter& scratch, const NewRecord& record, int64_t index,
                  int64_t base_timestamp) {
  scratch.buffer().clear();
  scratch.le<int8_t>(0);
  scratch.svarint(record.timestamp.value - base_timestamp);
  scratch.svarint(index);
  write_nullable(scratch, record.key);
  write_nullable(scratch, record.value);
  scratch.svarint(0);
  writer.svarint(static_cast<int64_t>(scratch.size()));
  writer.raw(scratch.view());
}

void write_header(ByteWriter& writer, const BatchHeader& header) {
  writer.be<int64_t>(header.base_offset);
  writer.be<int32_t>(0);
  writer.be<int32_t>(header.leader_epoch);
  writer.be<int8_t>(2);
  writer.be<uint32_t>(0);
  writer.be<int16_t>(header.attributes);
  writer.be<int32_t>(header.last_offset_delta);
  writer.be<int64_t>(header.base_timestamp);
  writer.be<int64_t>(header.max_timestamp);
  writer.be<int64_t>(header.producer_id);
  writer.be<int16_t>(header.producer_epoch);
  writer.be<int32_t>(header.base_sequence);
  writer.be<int32_t>(header.count);
}

/// Fills in the length and the CRC once the records are there.
Bytes finish(ByteWriter writer) {
  Bytes bytes = writer.take();
  store_be(bytes.data() + kLengthAt, static_cast<int32_t>(bytes.size() - kBatchOverheadBytes));
  store_be(bytes.data() + kCrcAt, crc32c(ByteView(bytes).subspan(kAttributesAt)));
  return bytes;
}

}  // namespace

Result<BatchHeader> parse_batch_header(ByteView bytes) {
  BatchHeader header = TRY(parse_batch_header_alone(bytes));
  if (header.total_bytes() > bytes.size()) return cut_off(bytes.size());
  return header;
}

Result<BatchHeader> parse_batch_header_alone(ByteView bytes) {
  if (bytes.size() < kMagicAt + 1) return cut_off(bytes.size());
  auto magic = static_cast<int8_t>(bytes[kMagicAt]);
  if (magic == 0 || magic == 1) {
    return Error(Code::unsupported,
                 "message format {} is not stored; record batches of format 2 are", magic)
        .with_hint("use a client of Kafka 0.11 or later");
  }
  if (magic != 2) return Error(Code::corrupt, "record batch has the unknown magic {}", magic);
  if (bytes.size() < kBatchHeaderBytes) return cut_off(bytes.size());
  BatchHeader header;
  ByteReader reader(bytes);
  header.base_offset = reader.be<int64_t>();
  header.batch_length = reader.be<int32_t>();
  header.leader_epoch = reader.be<int32_t>();
  header.magic = reader.be<int8_t>();
  header.crc = reader.be<uint32_t>();
  header.attributes = reader.be<int16_t>();
  header.last_offset_delta = reader.be<int32_t>();
  header.base_timestamp = reader.be<int64_t>();
  header.max_timestamp = reader.be<int64_t>();
  header.producer_id = reader.be<int64_t>();
  header.producer_epoch = reader.be<int16_t>();
  header.base_sequence = reader.be<int32_t>();
  header.count = reader.be<int32_t>();
  constexpr auto kLengthMin = static_cast<int32_t>(kBatchHeaderBytes - kBatchOverheadBytes);
  if (header.batch_length < kLengthMin) {
    return Error(Code::corrupt, "record batch claims a length of {}", header.batch_length);
  }
  constexpr int64_t kOffsetMax = std::numeric_limits<int64_t>::max() / 2;
  if (header.base_offset < 0 || header.base_offset > kOffsetMax || header.last_offset_delta < 0) {
    return Error(Code::corrupt, "record batch claims offsets {} + {}", header.base_offset,
                 header.last_offset_delta);
  }
  return header;
}

Status verify_batch(ByteView batch) {
  BatchHeader header = TRY(parse_batch_header(batch));
  if (header.total_bytes() != batch.size()) {
    return Error(Code::corrupt, "{} bytes follow the record batch",
                 batch.size() - header.total_bytes());
  }
  uint32_t actual = crc32c(batch.subspan(kAttributesAt));
  if (actual != header.crc) {
    return Error(Code::corrupt, "record batch at offset {}: CRC is {:08x}, its header says {:08x}",
                 header.base_offset, actual, header.crc);
  }
  if (header.count < 1 || header.count - 1 > header.last_offset_delta) {
    return Error(Code::corrupt, "record batch says it has {} records up to offset delta {}",
                 header.count, header.last_offset_delta);
  }
  return {};
}

Status check_records(ByteView batch, size_t limit, bool unpack) {
  BatchHeader header = TRY(parse_batch_header(batch));
  ByteView records = batch.subspan(kBatchHeaderBytes, header.total_bytes() - kBatchHeaderBytes);
  if (header.codec() == 0) return check_walk(header, records);
  auto refused = [](const Error& why) {
    return is_of_batch(why) ? Error(Code::invalid_argument, "{}", why.message()) : why;
  };
  auto most = unpacked_at_most(header.codec(), records);
  if (!most) return refused(most.error());
  // A size that cannot be true is left to the records themselves.
  bool fits = *most <= limit && static_cast<uint64_t>(header.count) <= *most / kRecordBytesMin;
  if (fits && !unpack) return {};
  // One buffer per thread: a batch is unpacked only to be looked at. What a large one took is given
  // back.
  constexpr size_t kKeptBytesMax = 4u << 20;
  thread_local Bytes buffer;
  Status checked = decompress(header.codec(), records, buffer, limit);
  checked = checked ? check_walk(header, buffer) : Status(refused(checked.error()));
  if (buffer.capacity() > kKeptBytesMax) Bytes().swap(buffer);
  return checked;
}

Status read_records(ByteView batch, std::vector<RecordView>& out, Bytes& buffer, size_t limit) {
  BatchHeader header = TRY(parse_batch_header(batch));
  ByteView records = batch.subspan(kBatchHeaderBytes, header.total_bytes() - kBatchHeaderBytes);
  if (header.codec() != 0) {
    TRY(decompress(header.codec(), records, buffer, limit));
    records = buffer;
  }
  if (header.count < 0 || static_cast<size_t>(header.count) > records.size() / kRecordBytesMin) {
    return Error(Code::corrupt, "record batch at offset {} says it has {} records in {} bytes",
                 header.base_offset, header.count, records.size());
  }
  ByteReader reader(records);
  size_t first = out.size();
  out.resize(first + static_cast<size_t>(header.count));
  for (size_t i = first; i < out.size(); ++i) {
    if (!read_record(reader, header, out[i])) {
      out.resize(first);
      return Error(Code::corrupt, "record {} of the batch at offset {} is malformed", i - first,
                   header.base_offset);
    }
  }
  if (reader.remaining() != 0) {
    out.resize(first);
    return Error(Code::corrupt, "{} bytes follow the records of the batch at offset {}",
                 reader.remaining(), header.base_offset);
  }
  return {};
}

Status read_stored_records(ByteView batch, std::vector<RecordView>& out, Bytes& buffer) {
  const size_t first = out.size();
  TRY(read_records(batch, out, buffer));
  BatchHeader header = TRY(parse_batch_header(batch));
  int64_t least = header.base_offset;
  for (size_t i = first; i < out.size(); ++i) {
    if (out[i].offset.value < least) {
      out.resize(first);
      return Error(Code::corrupt, "its records do not have offsets of their own");
    }
    least = out[i].offset.value + 1;
  }
  return {};
}

bool is_of_batch(const Error& error) { return error.cause() != Cause::out_of_memory; }

std::string unreadable_reason(const BatchHeader& header, const Error& why) {
  return fmt::format("the batch of offsets {} to {} cannot be read: {}", header.base_offset,
                     header.last_offset(), why.message());
}

Bytes encode_batch(std::span<const NewRecord> records, int64_t producer_id, int16_t producer_epoch,
                   int32_t base_sequence, int16_t attributes) {
  CHECK(!records.empty(), "a batch has at least one record");
  BatchHeader header;
  header.attributes = attributes;
  header.count = static_cast<int32_t>(records.size());
  header.last_offset_delta = header.count - 1;
  header.base_timestamp = records.front().timestamp.value;
  header.max_timestamp = header.base_timestamp;
  for (const auto& record : records) {
    header.max_timestamp = std::max(header.max_timestamp, record.timestamp.value);
  }
  header.producer_id = producer_id;
  header.producer_epoch = producer_epoch;
  header.base_sequence = base_sequence;
  ByteWriter writer;
  write_header(writer, header);
  ByteWriter scratch;
  for (size_t i = 0; i < records.size(); ++i) {
    write_record(writer, scratch, records[i], static_cast<int64_t>(i), header.base_timestamp);
  }
  return finish(std::move(writer));
}

Bytes encode_control_batch(bool commit, int64_t producer_id, int16_t producer_epoch,
                           TimestampMs time) {
  std::byte key[4];
  store_be<int16_t>(key, 0);
  store_be<int16_t>(key + 2, commit ? 1 : 0);
  // Version and coordinator epoch, both 0.
  std::byte value[6] = {};
  NewRecord record{.timestamp = time, .key = ByteView(key), .value = ByteView(value)};
  return encode_batch({&record, 1}, producer_id, producer_epoch, -1, kTransactional | kControl);
}

void place_batch(std::span<std::byte> batch, Offset base_offset) {
  store_be<int64_t>(batch.data(), base_offset.value);
  store_be<int32_t>(batch.data() + kEpochAt, 0);
}

Result<bool> control_commits(ByteView batch) {
  std::vector<RecordView> records;
  Bytes buffer;
  TRY(read_records(batch, records, buffer));
  if (records.size() != 1 || records[0].key.size() < 4) {
    return Error(Code::corrupt, "control batch without a control record");
  }
  return load_be<int16_t>(records[0].key.data() + 2) == 1;
}

}  // namespace ziwa::log
