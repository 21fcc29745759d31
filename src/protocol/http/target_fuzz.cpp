#include "base/bytes.h"
#include "protocol/http/rest_query.h"

#include <cstddef>
#include <cstdint>

// Any request target: parsed, read as a query, built as SQL.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ziwa;
  using namespace ziwa::protocol::http;
  auto text = as_text(ByteView(reinterpret_cast<const std::byte*>(data), size));
  auto target = parse_target(text);
  if (!target) return 0;
  auto query = parse_rest_query(*target, 1'000);
  if (!query) return 0;
  Relation relation{.schema = "s", .name = "r", .key = {"k"}};
  build_rest_sql(relation, *query).ignore("only crashes count");
  return 0;
}
