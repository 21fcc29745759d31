#include "log/batch_reader_internal.h"

#include <algorithm>

namespace ziwa::log {

Result<ByteView> BatchReader::window(uint64_t at, size_t size) {
  bool inside = at >= buffer_at_ && at + size <= buffer_at_ + buffer_.size();
  if (!inside) {
    buffer_.resize(std::min<uint64_t>(std::max(size, window_bytes_), end_ - at));
    buffer_.resize(TRY(file_.read_at(at, buffer_)));
    buffer_at_ = at;
  }
  ByteView view(buffer_);
  view = view.subspan(at - buffer_at_);
  return view.subspan(0, std::min(size, view.size()));
}

Result<bool> BatchReader::next() {
  if (begun_) position_ += header_.total_bytes();
  begun_ = false;
  if (position_ >= end_) return false;
  ByteView bytes = TRY(window(position_, std::min<uint64_t>(kBatchHeaderBytes, end_ - position_)));
  header_ = TRY(parse_batch_header_alone(bytes));
  if (header_.total_bytes() > end_ - position_) {
    return Error(Code::corrupt, "record batch of {} bytes is cut off after {}",
                 header_.total_bytes(), end_ - position_);
  }
  begun_ = true;
  return true;
}

Result<ByteView> BatchReader::whole() {
  ByteView bytes = TRY(window(position_, header_.total_bytes()));
  if (bytes.size() < header_.total_bytes()) return Error(Code::corrupt, "record batch is cut off");
  return bytes;
}

}  // namespace ziwa::log
