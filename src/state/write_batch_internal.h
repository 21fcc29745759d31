#pragma once

#include "base/bytes.h"
#include "state/store.h"

namespace ziwa::state {

enum class ChangeKind : unsigned char { put, remove, remove_range };

/// One change of a batch; views into the batch. For remove_range `key` and `value` are the two
/// ends.
struct ChangeView {
  ChangeKind kind = ChangeKind::put;
  TableId table;
  std::string_view key;
  std::string_view value;
};

/// Changes in order in one buffer: kind (1 byte), table, key and value as varint-sized bytes.
struct WriteBatch::Rep {
  ByteWriter buffer;
  size_t count = 0;
  size_t range_count = 0;

  void add(ChangeKind kind, TableId table, std::string_view key, std::string_view value);
  /// Calls `use(ChangeView)` for each change in order.
  template <typename Use>
  void each(Use use) const {
    ByteReader reader(buffer.view());
    while (reader.remaining() > 0) {
      ChangeView change;
      change.kind = static_cast<ChangeKind>(reader.le<uint8_t>());
      change.table.index = static_cast<uint32_t>(reader.varint());
      change.key = reader.sized();
      change.value = reader.sized();
      use(change);
    }
  }
};

}  // namespace ziwa::state
