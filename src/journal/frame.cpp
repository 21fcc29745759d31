#include "base/advice.h"
#include "base/checksum.h"
#include "base/overloaded.h"
#include "journal/frame_internal.h"

#include <algorithm>

namespace ziwa::journal {

namespace {

constexpr uint32_t kMagic = 0x4A57495A;  // "ZIWJ"
constexpr size_t kPrefixBytes = 8;       // length and crc
constexpr size_t kWindowBytes = 1u << 20;

void write_end(ByteWriter& writer, const PartitionEnd& end) {
  writer.varint(end.id.topic.value);
  writer.varint(static_cast<uint64_t>(end.id.partition));
  writer.varint(static_cast<uint64_t>(end.end.value));
}

PartitionEnd read_end(ByteReader& reader) {
  PartitionEnd end;
  end.id.topic = ObjectId(reader.varint());
  end.id.partition = static_cast<int32_t>(reader.varint());
  end.end = Offset(static_cast<int64_t>(reader.varint()));
  return end;
}

void write_ends(ByteWriter& writer, const std::vector<PartitionEnd>& ends) {
  writer.varint(ends.size());
  for (const auto& end : ends) write_end(writer, end);
}

std::vector<PartitionEnd> read_ends(ByteReader& reader) {
  uint64_t count = reader.varint();
  std::vector<PartitionEnd> ends;
  constexpr size_t kEndBytesMin = 3;
  if (count > reader.remaining() / kEndBytesMin) {
    reader.raw(reader.remaining() + 1).size();  // turns the reader bad
    return ends;
  }
  ends.reserve(count);
  for (uint64_t i = 0; i < count; ++i) ends.push_back(read_end(reader));
  return ends;
}

FrameKind write_body(ByteWriter& writer, const Body& body) {
  return std::visit(Overloaded{[&](const LogCommit& it) {
                                 write_ends(writer, it.ends);
                                 return FrameKind::log_commit;
                               },
                               [&](const TransactionDecision& it) {
                                 writer.sized(it.transactional_id);
                                 writer.svarint(it.producer_id);
                                 writer.svarint(it.producer_epoch);
                                 writer.le<uint8_t>(it.commit ? 1 : 0);
                                 write_ends(writer, it.ends);
                                 return FrameKind::transaction_decision;
                               },
                               [&](const SourceCut& it) {
                                 writer.varint(it.source.value);
                                 writer.sized(it.position);
                                 return FrameKind::source_cut;
                               },
                               [&](const DeltaVersion& it) {
                                 writer.varint(it.table.value);
                                 writer.svarint(it.version);
                                 return FrameKind::delta_version;
                               },
                               [&](const CatalogChange& it) {
                                 writer.varint(it.catalog_version);
                                 return FrameKind::catalog_change;
                               },
                               [&](const IdleMark& it) {
                                 writer.varint(it.id.topic.value);
                                 writer.varint(static_cast<uint64_t>(it.id.partition));
                                 if (it.seen) writer.varint(static_cast<uint64_t>(it.seen->value));
                                 return FrameKind::idle_mark;
                               },
                               [&](const ClockTick&) { return FrameKind::clock_tick; },
                               [&](const LogStart& it) {
                                 write_end(writer, it.start);
                                 return FrameKind::log_start;
                               },
                               [&](const Opened& it) {
                                 writer.le<uint8_t>(it.clean ? 1 : 0);
                                 return FrameKind::opened;
                               }},
                    body);
}

Body read_decision(ByteReader& reader) {
  TransactionDecision it;
  it.transactional_id = std::string(reader.sized());
  it.producer_id = reader.svarint();
  it.producer_epoch = static_cast<int16_t>(reader.svarint());
  it.commit = reader.le<uint8_t>() != 0;
  it.ends = read_ends(reader);
  return it;
}

Result<Body> read_body(FrameKind kind, ByteReader& reader) {
  switch (kind) {
    case FrameKind::log_commit:
      return Body(LogCommit{read_ends(reader)});
    case FrameKind::transaction_decision:
      return read_decision(reader);
    case FrameKind::source_cut: {
      ObjectId source(reader.varint());
      return Body(SourceCut{source, std::string(reader.sized())});
    }
    case FrameKind::delta_version: {
      ObjectId table(reader.varint());
      return Body(DeltaVersion{table, reader.svarint()});
    }
    case FrameKind::catalog_change:
      return Body(CatalogChange{reader.varint()});
    case FrameKind::idle_mark: {
      ObjectId topic(reader.varint());
      IdleMark it{.id = {topic, static_cast<int32_t>(reader.varint())}, .seen = {}};
      if (reader.remaining() > 0) it.seen = Offset(static_cast<int64_t>(reader.varint()));
      return Body(it);
    }
    case FrameKind::log_start:
      return Body(LogStart{read_end(reader)});
    case FrameKind::opened:
      return Body(Opened{reader.le<uint8_t>() != 0});
    case FrameKind::clock_tick:
    case FrameKind::synced_mark:
    case FrameKind::closed_mark:
      return Body(ClockTick{});
  }
  return Error(Code::corrupt, "journal frame has the unknown kind {}", static_cast<int>(kind));
}

uint32_t frame_crc(ByteView frame) {
  return crc32c(frame.subspan(kPrefixBytes), crc32c(frame.subspan(0, sizeof(uint32_t))));
}

void write_frame(ByteWriter& writer, const Frame& frame, std::optional<FrameKind> mark) {
  size_t start = writer.size();
  writer.le<uint64_t>(0);
  writer.le<uint64_t>(frame.number.value);
  writer.le<int64_t>(frame.time.value);
  writer.le<uint64_t>(frame.synced_through.value);
  writer.le<uint8_t>(0);
  FrameKind kind = mark ? *mark : write_body(writer, frame.body);
  *writer.at(start + kFrameHeaderBytes - 1) = static_cast<std::byte>(kind);
  store_le(writer.at(start), static_cast<uint32_t>(writer.size() - start - kPrefixBytes));
  store_le(writer.at(start + 4), frame_crc(writer.view().subspan(start)));
}

bool all_zero(ByteView bytes) {
  return std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; });
}

}  // namespace

void encode_frame(ByteWriter& writer, const Frame& frame) {
  write_frame(writer, frame, std::nullopt);
}
void encode_mark(ByteWriter& writer, FrameKind kind, const Frame& frame) {
  write_frame(writer, frame, kind);
}

Result<Frame> decode_frame(ByteView bytes, size_t* size) {
  if (bytes.size() < kFrameHeaderBytes) return Error(Code::corrupt, "journal frame is cut off");
  auto length = load_le<uint32_t>(bytes.data());
  if (length < kFrameHeaderBytes - kPrefixBytes || length > kFrameBytesMax ||
      length > bytes.size() - kPrefixBytes) {
    return Error(Code::corrupt, "journal frame claims a length of {}", length);
  }
  bytes = bytes.subspan(0, length + kPrefixBytes);
  if (frame_crc(bytes) != load_le<uint32_t>(bytes.data() + 4)) {
    return Error(Code::corrupt, "journal frame has a wrong CRC");
  }
  ByteReader reader(bytes.subspan(kPrefixBytes));
  Frame frame;
  frame.number = EntryNumber(reader.le<uint64_t>());
  frame.time = TimestampMs(reader.le<int64_t>());
  frame.synced_through = EntryNumber(reader.le<uint64_t>());
  frame.kind = static_cast<FrameKind>(reader.le<uint8_t>());
  frame.body = TRY(read_body(frame.kind, reader));
  if (!reader.ok() || reader.remaining() != 0) {
    return Error(Code::corrupt, "journal entry {} has a malformed payload", frame.number);
  }
  *size = bytes.size();
  return frame;
}

Bytes encode_file_header(const FileHeader& header) {
  ByteWriter writer;
  writer.le<uint32_t>(kMagic);
  writer.le<uint32_t>(kFormatVersion);
  writer.le<uint64_t>(header.first.value);
  writer.le<uint64_t>(header.previous_last.value);
  writer.le<int64_t>(header.previous_time.value);
  writer.le<uint64_t>(header.previous_first.value);
  writer.le<uint32_t>(crc32c(writer.view()));
  writer.le<uint32_t>(0);
  CHECK(writer.size() == kFileHeaderBytes);
  return writer.take();
}

Result<FileHeader> decode_file_header(ByteView bytes) {
  constexpr size_t kCrcAt = kFileHeaderBytes - 8;
  if (bytes.size() < kFileHeaderBytes || load_le<uint32_t>(bytes.data()) != kMagic) {
    return Error(Code::corrupt, "not a journal file");
  }
  ByteReader reader(bytes.subspan(4));
  auto version = reader.le<uint32_t>();
  // A newer header may have its checksum elsewhere.
  const bool sound = crc32c(bytes.subspan(0, kCrcAt)) == load_le<uint32_t>(bytes.data() + kCrcAt);
  if (version > kFormatVersion) {
    return Error(Code::unsupported,
                 "the journal has format {}, written by a newer Ziwa; this one reads up to {}",
                 version, kFormatVersion)
        .with_hint(sound ? "start the newer version again" : kNewerOrDamaged);
  }
  if (!sound) {
    return Error(Code::corrupt, "journal file header has a wrong CRC");
  }
  FileHeader header;
  header.first = EntryNumber(reader.le<uint64_t>());
  header.previous_last = EntryNumber(reader.le<uint64_t>());
  header.previous_time = TimestampMs(reader.le<int64_t>());
  header.previous_first = EntryNumber(reader.le<uint64_t>());
  return header;
}

Result<ByteView> FrameReader::window(size_t size) {
  uint64_t skip = position_ - buffer_at_;
  if (position_ < buffer_at_ || skip > buffer_.size() || buffer_.size() - skip < size) {
    buffer_.resize(std::max(size, kWindowBytes));
    size_t got = TRY(file_.read_at(position_, buffer_));
    buffer_.resize(got);
    buffer_at_ = position_;
    skip = 0;
  }
  ByteView view(buffer_);
  return view.subspan(skip);
}

Result<FrameReader::Outcome> FrameReader::next(Frame& out) {
  ByteView bytes = TRY(window(kFrameHeaderBytes));
  if (bytes.size() < kFrameHeaderBytes) return all_zero(bytes) ? Outcome::end : Outcome::bad;
  auto length = load_le<uint32_t>(bytes.data());
  if (length == 0) return Outcome::end;
  if (length > kFrameBytesMax) return Outcome::bad;
  bytes = TRY(window(length + kPrefixBytes));
  size_t size = 0;
  auto frame = decode_frame(bytes, &size);
  if (!frame) return Outcome::bad;
  out = std::move(*frame);
  position_ += size;
  return Outcome::frame;
}

Result<std::optional<EntryNumber>> find_proof_of_loss(const File& file, uint64_t position,
                                                      EntryNumber last) {
  if (position >= file.size()) return std::nullopt;
  Bytes rest(file.size() - position);
  rest.resize(TRY(file.read_at(position, rest)));
  ByteView view(rest);
  if (all_zero(view)) return std::nullopt;
  for (size_t at = 0; at + kFrameHeaderBytes <= view.size(); ++at) {
    // Cheap tests first: a frame that is proof has a number and a synced_through above `last`.
    if (load_le<uint64_t>(view.data() + at + 24) <= last.value) continue;
    if (load_le<uint32_t>(view.data() + at) > view.size() - at) continue;
    size_t size = 0;
    auto frame = decode_frame(view.subspan(at), &size);
    if (frame && frame->synced_through > last) return frame->number;
  }
  return std::nullopt;
}

}  // namespace ziwa::journal
