#pragma once

#include "base/bytes.h"
#include "base/file.h"
#include "base/result.h"
#include "journal/journal.h"

#include <cstdint>
#include <string>

// One frame of a journal file, little-endian:
//   length u32 (bytes after the first 8) | crc u32 (CRC-32C of length and of everything after the
//   crc) | number u64 | time i64 (ms) | synced_through u64 | kind u8 | payload
// A file is a header and frames, then zeroes up to its end (room taken in advance). Valid: the CRC
// is right and an entry's number is its predecessor's + 1 (any greater one for Opened); marks
// repeat the number of the last entry. See docs/formats/journal.md for the payloads, recovery and
// an example.
namespace ziwa::journal {

inline constexpr size_t kFrameHeaderBytes = 33;
inline constexpr size_t kFrameBytesMax = 16u << 20;
inline constexpr size_t kFileHeaderBytes = 48;
inline constexpr uint32_t kFormatVersion = 1;

enum class FrameKind : uint8_t {
  log_commit = 1,
  transaction_decision = 2,
  source_cut = 3,
  delta_version = 4,
  catalog_change = 5,
  idle_mark = 6,
  clock_tick = 7,
  log_start = 8,
  opened = 9,
  synced_mark = 100,  ///< Only tells synced_through; no entry.
  closed_mark = 101,  ///< A clean end; no entry.
};

struct Frame {
  FrameKind kind = FrameKind::clock_tick;
  EntryNumber number;
  TimestampMs time;
  /// The last entry known to be durable when this frame was written: what is missing up to it was
  /// lost, not torn.
  EntryNumber synced_through;
  Body body = ClockTick{};

  bool is_entry() const { return kind < FrameKind::synced_mark; }
};

/// Appends the encoded frame. The kind of an entry comes from `frame.body`.
void encode_frame(ByteWriter& writer, const Frame& frame);
void encode_mark(ByteWriter& writer, FrameKind kind, const Frame& frame);
/// Decodes the frame at the start of `bytes`, which may hold more. `*size` gets its bytes. Errors:
/// corrupt (also cut off).
Result<Frame> decode_frame(ByteView bytes, size_t* size);

struct FileHeader {
  EntryNumber first;  ///< The number that the first entry was going to have; also the file's name.
  EntryNumber previous_last;   ///< Last entry of the file before.
  TimestampMs previous_time;   ///< Its time.
  EntryNumber previous_first;  ///< Name of the file before; 0: none.
};
Bytes encode_file_header(const FileHeader& header);
/// Errors: corrupt; unsupported when a newer Ziwa wrote it.
Result<FileHeader> decode_file_header(ByteView bytes);

/// Reads the frames of one file in order, through a window. One thread.
class FrameReader {
 public:
  enum class Outcome : unsigned char { frame, end, bad };

  FrameReader(const File& file, uint64_t position) : file_(file), position_(position) {}
  /// `end`: zeroes or the end of the file; `bad`: bytes that are no frame. After both the position
  /// stays. Errors: io.
  Result<Outcome> next(Frame& out);
  /// Where the next frame begins.
  uint64_t position() const { return position_; }

 private:
  Result<ByteView> window(size_t size);

  const File& file_;
  uint64_t position_;
  uint64_t buffer_at_ = 0;
  Bytes buffer_;
};

/// Searches for a frame after `position` that proves that an entry above `last` was durable, so
/// that the bytes at `position` are damage and not a torn tail. Returns its entry number.
Result<std::optional<EntryNumber>> find_proof_of_loss(const File& file, uint64_t position,
                                                      EntryNumber last);

}  // namespace ziwa::journal
