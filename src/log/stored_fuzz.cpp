// The files beside a partition's segments as a disk may give them back: checkpoint, topic
// configuration and lists of points.
#include "base/checksum.h"
#include "base/sim_file.h"
#include "log/checkpoint_internal.h"
#include "log/point_file_internal.h"
#include "log/topic_config_internal.h"

#include <cstddef>
#include <cstdint>

namespace ziwa::log {
namespace {

constexpr size_t kHeaderBytes = 12;
constexpr size_t kCrcAt = 8;

void check_checkpoint(ByteView bytes) {
  auto checkpoint = decode_checkpoint(bytes);
  if (!checkpoint) return;
  Bytes text = encode_checkpoint(*checkpoint);
  auto again = decode_checkpoint(text);
  CHECK(again, "{}", again.error().message());
  CHECK(again->log_start == checkpoint->log_start && again->position == checkpoint->position &&
        again->offset == checkpoint->offset && again->entry == checkpoint->entry &&
        again->max_timestamp == checkpoint->max_timestamp);
  CHECK(again->open.size() == checkpoint->open.size());
  CHECK(again->producers.size() == checkpoint->producers.size());
  CHECK(encode_checkpoint(*again).size() == text.size());
}

void check_config(ByteView bytes) {
  auto config = decode_topic_config(bytes);
  if (!config) return;
  CHECK(check_topic_config(*config));
  auto again = decode_topic_config(encode_topic_config(*config));
  CHECK(again && *again == *config);
}

/// What is loaded is written as the same bytes.
template <typename Point>
void check_points(ByteView bytes) {
  SimFileSystem files;
  PointFile<Point> points("stored");
  CHECK(write_file_atomically(files, points.path(), bytes));
  CHECK(points.load(files, std::nullopt));
  CHECK(points.in_memory().size() <= bytes.size() / Point::kBytes);
  size_t i = 0;
  for (Point point : points.in_memory()) {
    std::byte raw[Point::kBytes];
    point.encode(raw);
    CHECK(std::ranges::equal(raw, bytes.subspan(i++ * Point::kBytes, Point::kBytes)));
  }
  PointFile<Point> all("stored");
  bool whole = points.in_memory().size() * Point::kBytes == bytes.size();
  CHECK(all.load(files, bytes.size() / Point::kBytes + 1).has_value() == false);
  if (whole) CHECK(all.load(files, points.in_memory().size()));
}

/// As a disk gave them back, and with the checksum put right, so that what lies behind is reached.
void check(Bytes bytes) {
  check_checkpoint(bytes);
  check_config(bytes);
  if (bytes.size() < kHeaderBytes) return;
  store_le(bytes.data() + kCrcAt, crc32c(ByteView(bytes).subspan(kHeaderBytes)));
  check_checkpoint(bytes);
  check_config(bytes);
}

}  // namespace
}  // namespace ziwa::log

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ziwa;
  using namespace ziwa::log;
  ByteView bytes(reinterpret_cast<const std::byte*>(data), size);
  check(Bytes(bytes.begin(), bytes.end()));
  check_points<IndexPoint>(bytes);
  check_points<TimePoint>(bytes);
  check_points<EndPoint>(bytes);
  check_points<AbortedPoint>(bytes);
  return 0;
}
