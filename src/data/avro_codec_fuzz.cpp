#include "data/codec_fuzz_internal.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // An empty input has no address; a record without one is a null.
  static const std::byte kNothing{};
  const auto* bytes = size == 0 ? &kNothing : reinterpret_cast<const std::byte*>(data);
  ziwa::data::fuzz_codec({bytes, size}, "avro");
  return 0;
}
