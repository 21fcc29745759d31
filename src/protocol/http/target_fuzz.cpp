#include "base/bytes.h"
#include "protocol/http/origin.h"
#include "protocol/http/rest_query.h"

#include <cstddef>
#include <cstdint>

namespace {

using namespace ziwa;
using namespace ziwa::protocol::http;

/// A target written from its parts is read as the same parts.
void check_round_trip(const Target& target) {
  std::string text = "/";
  for (const auto& part : target.path) text += encode_component(part) + "/";
  char separator = '?';
  for (const auto& [name, value] : target.parameters) {
    text += separator + encode_component(name) + "=" + encode_component(value);
    separator = '&';
  }
  if (text.size() > kTargetBytesMax) return;
  auto again = parse_target(text);
  CHECK(again && again->path == target.path && again->parameters == target.parameters, "{}", text);
}

void check_query(const Target& target) {
  constexpr uint64_t kLimitMax = 1'000;
  auto query = parse_rest_query(target, kLimitMax);
  if (!query) return;
  CHECK(query->limit <= kLimitMax && query->wait_ms >= 0 && query->wait_ms <= kWaitMsMax);
  if (query->after) {
    Target next{.path = {"v"}, .parameters = {{"after", encode_cursor(*query->after)}}};
    auto again = parse_rest_query(next, kLimitMax);
    CHECK(again && again->after == query->after, "a cursor changed");
  }
  Relation relation{.schema = "s", .name = "r", .key = {"k"}};
  auto sql = build_rest_sql(relation, *query);
  if (!sql) return;
  size_t values = 0;
  for (const auto& filter : query->filters) values += filter.values.size();
  CHECK(sql->parameters.size() >= values, "a value is not a parameter");
}

}  // namespace

// Any request target: parsed, read as a query, built as SQL; and any Host and Origin.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto text = as_text(ByteView(reinterpret_cast<const std::byte*>(data), size));
  auto bytes = decode_base64(encode_base64(text));
  CHECK(bytes && *bytes == text, "base64");
  // Who passes with an Origin passes without, and an Origin is as local as a Host.
  size_t half = size / 2;
  if (check_origin(text.substr(0, half), text.substr(half))) {
    CHECK(check_origin(text.substr(0, half), std::nullopt));
    CHECK(check_origin(text.substr(text.find("://", half) + 3), std::nullopt));
  }
  // A list that names a tag names it also when it is longer.
  constexpr std::string_view kTag = "\"12-7\"";
  CHECK(names_etag(std::string(text) + ", W/" + std::string(kTag), kTag));
  CHECK(!names_etag(text, kTag) || text.find('*') != text.npos || text.find(kTag) != text.npos);
  auto target = parse_target(text);
  if (!target) return 0;
  check_round_trip(*target);
  check_query(*target);
  return 0;
}
