#include "base/bytes.h"
#include "log/groups/group.h"
#include "log/groups/storage.h"

#include <cstddef>
#include <cstdint>

namespace ziwa::groups {
namespace {

Group empty_group() {
  return Group("g", {}, [](Group&, Group::Persisted) {}, [] { return std::string("unique"); });
}

void check_group(std::string_view bytes) {
  Group group = empty_group();
  if (!group.decode(bytes, 1'000)) return;
  std::string stored = group.encode();
  Group again = empty_group();
  CHECK(again.decode(stored, 1'000));
  CHECK(again.encode() == stored);
  CHECK(again.generation() == group.generation() && again.state() == group.state() &&
        again.describe().members.size() == group.describe().members.size());
  again.tick(INT64_MAX / 2);  // Every deadline has passed.
}

/// `text` is a key and its value, the key's length first.
void check_offset(std::string_view text) {
  if (text.empty()) return;
  size_t key_size = std::min<size_t>(static_cast<uint8_t>(text[0]), text.size() - 1);
  std::string_view key = text.substr(1, key_size);
  decode_group_key(key).ignore("only that it does not crash");
  auto decoded = decode_offset(key, text.substr(1 + key_size));
  if (!decoded) return;
  const auto& [group_id, offset] = *decoded;
  auto again = decode_offset(offset_key(group_id, offset.partition), encode_offset(offset));
  CHECK(again && again->first == group_id && again->second.partition == offset.partition);
  CHECK(again->second.offset == offset.offset && again->second.metadata == offset.metadata &&
        again->second.leader_epoch == offset.leader_epoch &&
        again->second.committed == offset.committed);
}

}  // namespace
}  // namespace ziwa::groups

/// Any bytes as what the table "groups" holds: what is read is written and read back as the same.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  ziwa::groups::check_group(text);
  ziwa::groups::check_offset(text);
  return 0;
}
