#pragma once

#include "base/bytes.h"
#include "base/result.h"

namespace ziwa::log {

/// Decompresses the records of a batch into `out` (replaced). `codec` is BatchHeader::codec(): 1
/// gzip, 2 snappy (raw, or the framing of xerial that Java clients write), 3 lz4 frame, 4 zstd. Any
/// thread; memory stays below 2 x `limit`. Errors: corrupt; unsupported (codec); exhausted when the
/// result would be longer than `limit`, or because memory is short (Cause::out_of_memory).
Status decompress(int codec, ByteView in, Bytes& out, size_t limit);

/// What decompress() would give at most, by the frame alone: every block of it is found and whole
/// in length, nothing is decompressed. gzip has no blocks to find: its trailer is believed, which
/// may lie. Errors: corrupt; unsupported (codec); exhausted because memory is short.
Result<uint64_t> unpacked_at_most(int codec, ByteView in);

}  // namespace ziwa::log
