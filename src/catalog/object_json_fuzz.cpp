#include "catalog/object_json_internal.h"

#include <cstddef>
#include <cstdint>

/// Any bytes as a stored object: what is read is written and read back as the same object.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ziwa;
  using namespace ziwa::catalog;
  auto object = decode_object({reinterpret_cast<const char*>(data), size});
  if (!object) return 0;
  auto text = encode_object(*object);
  CHECK(text, "{}", text.error().message());
  auto again = decode_object(*text);
  CHECK(again, "{}: {}", again.error().message(), *text);
  CHECK(again->id == object->id && again->name == object->name && again->sql == object->sql);
  CHECK(again->depends_on == object->depends_on && again->definition == object->definition, "{}",
        *text);
  CHECK(encode_object(*again).value() == *text);
  return 0;
}
