#include "stream/plan.h"

#include <cstddef>
#include <cstdint>

/// Any bytes as a view's stored plan: what is read is written and read back as the same plan.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ziwa;
  using namespace ziwa::stream;
  auto plan = decode_plan({reinterpret_cast<const char*>(data), size});
  if (!plan) return 0;
  std::string text = encode_plan(*plan);
  auto again = decode_plan(text);
  CHECK(again, "{}: {}", again.error().message(), text);
  CHECK(encode_plan(*again) == text);
  std::string explained = explain_plan(*plan);
  CHECK(!explained.empty() && explained == explain_plan(*again));
  return 0;
}
