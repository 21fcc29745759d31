#include "stream/watermark.h"

namespace ziwa::stream {

WatermarkTracker::WatermarkTracker(size_t partitions, int64_t delay_us)
    : delay_us_(delay_us),
      partitions_(partitions),
      pending_(partitions, kNoWatermark),
      pending_idle_(partitions) {}

void WatermarkTracker::begin_entry(uint64_t entry) {
  if (entry == entry_) return;
  end_entry();
  entry_ = entry;
}

void WatermarkTracker::active(size_t partition) {
  pending_idle_[partition] = false;
  dirty_ = true;
}

void WatermarkTracker::idle(size_t partition) {
  pending_idle_[partition] = true;
  dirty_ = true;
}

void WatermarkTracker::end_entry() {
  if (!dirty_) return;
  for (size_t i = 0; i < partitions_.size(); ++i) {
    partitions_[i].greatest_us = std::max(partitions_[i].greatest_us, pending_[i]);
    if (pending_idle_[i]) partitions_[i].idle = *pending_idle_[i];
    pending_[i] = kNoWatermark;
    pending_idle_[i].reset();
  }
  dirty_ = false;
  merge();
}

std::optional<int64_t> WatermarkTracker::watermark(size_t partition) const {
  const int64_t greatest = partitions_[partition].greatest_us;
  if (greatest == kNoWatermark) return std::nullopt;
  // A time near the beginning of all time less a delay must not wrap around.
  return greatest < kNoWatermark + 1 + delay_us_ ? kNoWatermark + 1 : greatest - delay_us_;
}

std::optional<int64_t> WatermarkTracker::least() const {
  std::optional<int64_t> least;
  for (size_t i = 0; i < partitions_.size(); ++i) {
    if (partitions_[i].idle) continue;
    auto own = watermark(i);
    if (!own) return std::nullopt;
    least = least ? std::min(*least, *own) : *own;
  }
  return least;
}

void WatermarkTracker::merge() {
  if (auto now = least()) merged_ = std::max(merged_, *now);
}

void WatermarkTracker::add_partitions(size_t count) {
  if (count <= partitions_.size()) return;
  partitions_.resize(count);
  pending_.resize(count, kNoWatermark);
  pending_idle_.resize(count);
}

void WatermarkTracker::save(ByteWriter& out) const {
  out.varint(partitions_.size());
  for (const auto& partition : partitions_) {
    out.le<int64_t>(partition.greatest_us);
    out.le<uint8_t>(partition.idle ? 1 : 0);
  }
  out.le<int64_t>(merged_);
}

Status WatermarkTracker::load(ByteReader& in) {
  auto count = in.varint();
  if (!in.ok() || count > in.remaining()) return Error(Code::corrupt, "a stored watermark is cut");
  add_partitions(count);
  for (uint64_t i = 0; i < count; ++i) {
    partitions_[i].greatest_us = in.le<int64_t>();
    partitions_[i].idle = in.le<uint8_t>() != 0;
  }
  merged_ = in.le<int64_t>();
  return in.status("a stored watermark");
}

}  // namespace ziwa::stream
