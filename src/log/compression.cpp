#include "log/compression_internal.h"
#include "log/testing/short_memory.h"

#include <algorithm>
#include <limits>
#include <lz4frame.h>
#include <memory>
#include <snappy-c.h>
#include <zlib.h>
// ZSTD_decompressBound.
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>
#include <zstd_errors.h>

namespace ziwa::log {

namespace {

constexpr size_t kFirstBytes = 16u << 10;

Error too_long(size_t limit) {
  return Error(Code::exhausted, "record batch decompresses to more than {} bytes", limit);
}

Error broken(std::string_view codec) {
  return Error(Code::corrupt, "{} data of the record batch is damaged", codec);
}

/// Says nothing of the batch: it may be read the next time.
Error no_memory(std::string_view codec) {
  return Error(Code::exhausted, "no memory for {}", codec).because(Cause::out_of_memory);
}

thread_local int decompressors_to_fail = 0;

bool fails_for_test() {
  if (decompressors_to_fail == 0) return false;
  --decompressors_to_fail;
  return true;
}

/// Makes room after `used` bytes of `out`: doubles, up to `limit`. False when `limit` is reached.
bool grow(Bytes& out, size_t used, size_t limit) {
  if (used < out.size()) return true;
  if (used >= limit) return false;
  out.resize(std::min(limit, std::max(kFirstBytes, used * 2)));
  return true;
}

Status gunzip(ByteView in, Bytes& out, size_t limit) {
  z_stream stream{};
  constexpr int kGzipOrZlib = 32 + MAX_WBITS;
  if (fails_for_test() || inflateInit2(&stream, kGzipOrZlib) != Z_OK) return no_memory("gzip");
  std::unique_ptr<z_stream, int (*)(z_stream*)> end(&stream, inflateEnd);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(in.data()));
  stream.avail_in = static_cast<uInt>(in.size());
  size_t used = 0;
  while (true) {
    bool room = grow(out, used, limit);
    std::byte spare{};
    stream.next_out = reinterpret_cast<Bytef*>(room ? out.data() + used : &spare);
    stream.avail_out = room ? static_cast<uInt>(out.size() - used) : 1;
    uInt before = stream.avail_out;
    int code = inflate(&stream, Z_NO_FLUSH);
    size_t produced = before - stream.avail_out;
    if (!room && produced > 0) return too_long(limit);
    used += produced;
    if (code == Z_STREAM_END) break;
    if (code == Z_MEM_ERROR) return no_memory("gzip");
    if (code != Z_OK || (produced == 0 && stream.avail_in == 0)) return broken("gzip");
  }
  out.resize(used);
  return {};
}

Status unsnappy_block(ByteView in, Bytes& out, size_t limit) {
  const auto* data = reinterpret_cast<const char*>(in.data());
  size_t length = 0;
  if (snappy_uncompressed_length(data, in.size(), &length) != SNAPPY_OK) return broken("snappy");
  if (length > limit - out.size()) return too_long(limit);
  // A block cannot expand beyond 64 bytes per 3 of input, so a lying length is refused before
  // memory is taken for it.
  if (length / 64 > in.size()) return broken("snappy");
  size_t used = out.size();
  out.resize(used + length);
  auto* to = reinterpret_cast<char*>(out.data() + used);
  if (snappy_uncompress(data, in.size(), to, &length) != SNAPPY_OK) return broken("snappy");
  return {};
}

constexpr size_t kXerialHeaderBytes = 16;

bool is_xerial(ByteView in) {
  constexpr std::string_view kXerial("\x82SNAPPY\0", 8);
  return in.size() >= kXerialHeaderBytes && as_text(in.subspan(0, kXerial.size())) == kXerial;
}

Status unsnappy(ByteView in, Bytes& out, size_t limit) {
  if (!is_xerial(in)) return unsnappy_block(in, out, limit);
  ByteReader reader(in.subspan(kXerialHeaderBytes));
  while (reader.remaining() > 0) {
    auto size = reader.be<uint32_t>();
    ByteView block = reader.raw(size);
    if (!reader.ok()) return broken("snappy");
    TRY(unsnappy_block(block, out, limit));
  }
  return {};
}

using Lz4Context = std::unique_ptr<LZ4F_dctx, size_t (*)(LZ4F_dctx*)>;

Result<Lz4Context> lz4_context() {
  LZ4F_dctx* raw = nullptr;
  bool made =
      !fails_for_test() && LZ4F_isError(LZ4F_createDecompressionContext(&raw, LZ4F_VERSION)) == 0U;
  if (!made) return no_memory("lz4");
  return Lz4Context(raw, LZ4F_freeDecompressionContext);
}

Error lz4_error(size_t code) {
  constexpr std::string_view kNoMemory = "ERROR_allocation_failed";
  return LZ4F_getErrorName(code) == kNoMemory ? no_memory("lz4") : broken("lz4");
}

Status unlz4(ByteView in, Bytes& out, size_t limit) {
  auto context = TRY(lz4_context());
  size_t used = 0;
  size_t at = 0;
  while (true) {
    bool room = grow(out, used, limit);
    std::byte spare{};
    size_t produced = room ? out.size() - used : 1;
    size_t consumed = in.size() - at;
    size_t hint = LZ4F_decompress(context.get(), room ? out.data() + used : &spare, &produced,
                                  in.data() + at, &consumed, nullptr);
    if (LZ4F_isError(hint) != 0U) return lz4_error(hint);
    if (!room && produced > 0) return too_long(limit);
    used += produced;
    at += consumed;
    if (hint == 0) break;
    if (produced == 0 && consumed == 0) return broken("lz4");
  }
  out.resize(used);
  return {};
}

/// One frame that says what it holds is unpacked at once, straight to its place. False: it
/// must be unpacked in steps. A size that is out of proportion is not believed.
bool unzstd_at_once(ZSTD_DCtx* context, ByteView in, Bytes& out, size_t limit) {
  constexpr size_t kRatioMax = 128;
  auto size = ZSTD_getFrameContentSize(in.data(), in.size());
  bool known = size != ZSTD_CONTENTSIZE_UNKNOWN && size != ZSTD_CONTENTSIZE_ERROR;
  if (!known || size > limit || size / kRatioMax > in.size()) return false;
  if (ZSTD_findFrameCompressedSize(in.data(), in.size()) != in.size()) return false;
  out.resize(size);
  if (ZSTD_decompressDCtx(context, out.data(), size, in.data(), in.size()) == size) return true;
  out.clear();
  return false;
}

/// The thread's own, made when it is first needed and there is memory.
Result<ZSTD_DCtx*> zstd_context() {
  thread_local std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context(nullptr, ZSTD_freeDCtx);
  if (!context && !fails_for_test()) context.reset(ZSTD_createDCtx());
  if (!context) return no_memory("zstd");
  return context.get();
}

Error zstd_error(size_t code) {
  bool memory = ZSTD_getErrorCode(code) == ZSTD_error_memory_allocation;
  return memory ? no_memory("zstd") : broken("zstd");
}

Status unzstd(ByteView in, Bytes& out, size_t limit) {
  ZSTD_DCtx* context = TRY(zstd_context());
  ZSTD_DCtx_reset(context, ZSTD_reset_session_only);
  if (unzstd_at_once(context, in, out, limit)) return {};
  ZSTD_DCtx_reset(context, ZSTD_reset_session_only);
  ZSTD_inBuffer input{in.data(), in.size(), 0};
  size_t used = 0;
  while (true) {
    bool room = grow(out, used, limit);
    std::byte spare{};
    ZSTD_outBuffer output{room ? out.data() + used : &spare, room ? out.size() - used : 1, 0};
    size_t before = input.pos;
    size_t left = ZSTD_decompressStream(context, &output, &input);
    if (ZSTD_isError(left) != 0U) return zstd_error(left);
    if (!room && output.pos > 0) return too_long(limit);
    used += output.pos;
    if (left == 0 && input.pos == input.size) break;
    if (output.pos == 0 && input.pos == before) return broken("zstd");
  }
  out.resize(used);
  return {};
}

Result<uint64_t> gzip_at_most(ByteView in) {
  constexpr size_t kHeaderAndTrailerBytes = 18;
  constexpr uint16_t kMagic = 0x8B1F;
  if (in.size() < kHeaderAndTrailerBytes || load_le<uint16_t>(in.data()) != kMagic)
    return std::numeric_limits<uint64_t>::max();
  return load_le<uint32_t>(in.data() + in.size() - 4);
}

Result<uint64_t> snappy_block_at_most(ByteView in) {
  size_t length = 0;
  const auto* data = reinterpret_cast<const char*>(in.data());
  if (snappy_uncompressed_length(data, in.size(), &length) != SNAPPY_OK) return broken("snappy");
  if (length / 64 > in.size()) return broken("snappy");
  return length;
}

Result<uint64_t> snappy_at_most(ByteView in) {
  if (!is_xerial(in)) return snappy_block_at_most(in);
  uint64_t sum = 0;
  ByteReader reader(in.subspan(kXerialHeaderBytes));
  while (reader.remaining() > 0) {
    auto size = reader.be<uint32_t>();
    ByteView block = reader.raw(size);
    if (!reader.ok()) return broken("snappy");
    sum += TRY(snappy_block_at_most(block));
  }
  return sum;
}

/// The blocks of a frame: a length, whose highest bit says "as it is", the data and perhaps a
/// checksum; a length of 0 ends them. Source: lz4 frame format 1.6.
Result<uint64_t> lz4_at_most(ByteView in) {
  auto context = TRY(lz4_context());
  LZ4F_frameInfo_t info{};
  size_t header = in.size();
  if (LZ4F_isError(LZ4F_getFrameInfo(context.get(), &info, in.data(), &header)) != 0U)
    return broken("lz4");
  uint64_t block_max = uint64_t{64u << 10} << (2 * (std::max<int>(info.blockSizeID, 4) - 4));
  uint64_t sum = 0;
  ByteReader reader(in.subspan(header));
  while (true) {
    auto size = reader.le<uint32_t>();
    if (reader.ok() && size == 0) break;
    reader.raw(size & 0x7FFF'FFFF);
    if (info.blockChecksumFlag != LZ4F_noBlockChecksum) reader.raw(4);
    if (!reader.ok()) return broken("lz4");
    sum += block_max;
  }
  if (info.contentChecksumFlag != LZ4F_noContentChecksum) reader.raw(4);
  if (!reader.ok()) return broken("lz4");
  return info.contentSize != 0 ? std::min<uint64_t>(sum, info.contentSize) : sum;
}

Result<uint64_t> zstd_at_most(ByteView in) {
  uint64_t sum = 0;
  while (!in.empty()) {
    size_t size = ZSTD_findFrameCompressedSize(in.data(), in.size());
    if (ZSTD_isError(size) != 0U) return broken("zstd");
    auto bound = ZSTD_decompressBound(in.data(), size);
    if (bound == ZSTD_CONTENTSIZE_ERROR) return broken("zstd");
    sum += std::min<uint64_t>(bound, std::numeric_limits<uint32_t>::max());
    in = in.subspan(size);
  }
  return sum;
}

}  // namespace

void testing::fail_decompressors(int count) { decompressors_to_fail = count; }

Result<uint64_t> unpacked_at_most(int codec, ByteView in) {
  switch (codec) {
    case 1:
      return gzip_at_most(in);
    case 2:
      return snappy_at_most(in);
    case 3:
      return lz4_at_most(in);
    case 4:
      return zstd_at_most(in);
    default:
      return Error(Code::unsupported, "record batch has the unknown compression codec {}", codec);
  }
}

Status decompress(int codec, ByteView in, Bytes& out, size_t limit) {
  out.clear();
  switch (codec) {
    case 1:
      return gunzip(in, out, limit);
    case 2:
      return unsnappy(in, out, limit);
    case 3:
      return unlz4(in, out, limit);
    case 4:
      return unzstd(in, out, limit);
    default:
      return Error(Code::unsupported, "record batch has the unknown compression codec {}", codec)
          .with_hint("gzip, snappy, lz4 and zstd are read");
  }
}

}  // namespace ziwa::log
