#pragma once

#include "base/file.h"
#include "log/record_batch.h"

namespace ziwa::log {

/// Walks the batches of a segment file through a window. One thread.
class BatchReader {
 public:
  /// Reads from `position` up to `end`, in pieces of at least `window_bytes`.
  BatchReader(const File& file, uint64_t position, uint64_t end, size_t window_bytes)
      : file_(file), position_(position), end_(end), window_bytes_(window_bytes) {}

  /// Moves to the next batch and reads its header. False at `end`. Errors: corrupt (not a header,
  /// or longer than what is left), io. After an error position() is where the bad batch begins.
  Result<bool> next();
  const BatchHeader& header() const { return header_; }
  /// Where the current batch begins.
  uint64_t position() const { return position_; }
  /// All bytes of the current batch; valid until the next call.
  Result<ByteView> whole();

 private:
  Result<ByteView> window(uint64_t at, size_t size);

  const File& file_;
  uint64_t position_;
  const uint64_t end_;
  const size_t window_bytes_;
  bool begun_ = false;
  BatchHeader header_;
  uint64_t buffer_at_ = 0;
  Bytes buffer_;
};

}  // namespace ziwa::log
