#include "log/compression_internal.h"

#include <algorithm>
#include <lz4frame.h>
#include <memory>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

namespace ziwa::log {

namespace {

constexpr size_t kFirstBytes = 16u << 10;

Error too_long(size_t limit) {
  return Error(Code::exhausted, "record batch decompresses to more than {} bytes", limit);
}

Error broken(std::string_view codec) {
  return Error(Code::corrupt, "{} data of the record batch is damaged", codec);
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
  if (inflateInit2(&stream, kGzipOrZlib) != Z_OK)
    return Error(Code::exhausted, "no memory for gzip").because(Cause::out_of_memory);
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

Status unsnappy(ByteView in, Bytes& out, size_t limit) {
  constexpr std::string_view kXerial("\x82SNAPPY\0", 8);
  constexpr size_t kXerialHeaderBytes = 16;
  if (in.size() < kXerialHeaderBytes || as_text(in.subspan(0, kXerial.size())) != kXerial) {
    return unsnappy_block(in, out, limit);
  }
  ByteReader reader(in.subspan(kXerialHeaderBytes));
  while (reader.remaining() > 0) {
    auto size = reader.be<uint32_t>();
    ByteView block = reader.raw(size);
    if (!reader.ok()) return broken("snappy");
    TRY(unsnappy_block(block, out, limit));
  }
  return {};
}

Status unlz4(ByteView in, Bytes& out, size_t limit) {
  LZ4F_dctx* raw = nullptr;
  if (LZ4F_isError(LZ4F_createDecompressionContext(&raw, LZ4F_VERSION)) != 0U) {
    return Error(Code::exhausted, "no memory for lz4").because(Cause::out_of_memory);
  }
  std::unique_ptr<LZ4F_dctx, size_t (*)(LZ4F_dctx*)> context(raw, LZ4F_freeDecompressionContext);
  size_t used = 0;
  size_t at = 0;
  while (true) {
    bool room = grow(out, used, limit);
    std::byte spare{};
    size_t produced = room ? out.size() - used : 1;
    size_t consumed = in.size() - at;
    size_t hint = LZ4F_decompress(raw, room ? out.data() + used : &spare, &produced, in.data() + at,
                                  &consumed, nullptr);
    if (LZ4F_isError(hint) != 0U) return broken("lz4");
    if (!room && produced > 0) return too_long(limit);
    used += produced;
    at += consumed;
    if (hint == 0) break;
    if (produced == 0 && consumed == 0) return broken("lz4");
  }
  out.resize(used);
  return {};
}

Status unzstd(ByteView in, Bytes& out, size_t limit) {
  std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context(ZSTD_createDCtx(), ZSTD_freeDCtx);
  if (!context) return Error(Code::exhausted, "no memory for zstd").because(Cause::out_of_memory);
  ZSTD_inBuffer input{in.data(), in.size(), 0};
  size_t used = 0;
  while (true) {
    bool room = grow(out, used, limit);
    std::byte spare{};
    ZSTD_outBuffer output{room ? out.data() + used : &spare, room ? out.size() - used : 1, 0};
    size_t before = input.pos;
    size_t left = ZSTD_decompressStream(context.get(), &output, &input);
    if (ZSTD_isError(left) != 0U) return broken("zstd");
    if (!room && output.pos > 0) return too_long(limit);
    used += output.pos;
    if (left == 0 && input.pos == input.size) break;
    if (output.pos == 0 && input.pos == before) return broken("zstd");
  }
  out.resize(used);
  return {};
}

}  // namespace

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
