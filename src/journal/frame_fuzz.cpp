#include "base/checksum.h"
#include "base/result.h"
#include "journal/frame_internal.h"

#include <cstddef>
#include <cstdint>

/// Any bytes: a frame is decoded or refused, and what is decoded encodes to the same meaning. The
/// CRC is repaired first, so that the payloads are reached.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ziwa;
  Bytes bytes(reinterpret_cast<const std::byte*>(data),
              reinterpret_cast<const std::byte*>(data) + size);
  size_t used = 0;
  journal::decode_frame(bytes, &used).ignore("only that it does not crash");
  journal::decode_file_header(bytes).ignore("only that it does not crash");
  if (bytes.size() < journal::kFrameHeaderBytes) return 0;
  store_le(bytes.data(), static_cast<uint32_t>(bytes.size() - 8));
  ByteView view(bytes);
  store_le(bytes.data() + 4, crc32c(view.subspan(8), crc32c(view.subspan(0, 4))));
  auto frame = journal::decode_frame(bytes, &used);
  if (!frame || !frame->is_entry()) return 0;
  CHECK(used == bytes.size());
  ByteWriter again;
  journal::encode_frame(again, *frame);
  auto second = journal::decode_frame(again.view(), &used);
  CHECK(second.has_value() && second->number == frame->number &&
        second->body.index() == frame->body.index());
  return 0;
}
