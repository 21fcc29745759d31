#include "state/write_batch_internal.h"

namespace ziwa::state {

void WriteBatch::Rep::add(ChangeKind kind, TableId table, std::string_view key,
                          std::string_view value) {
  buffer.le(static_cast<uint8_t>(kind));
  buffer.varint(table.index);
  buffer.sized(key);
  buffer.sized(value);
  ++count;
}

WriteBatch::WriteBatch() : rep_(std::make_unique<Rep>()) {}
WriteBatch::~WriteBatch() = default;
WriteBatch::WriteBatch(WriteBatch&&) noexcept = default;
WriteBatch& WriteBatch::operator=(WriteBatch&&) noexcept = default;

void WriteBatch::put(TableId table, std::string_view key, std::string_view value) {
  rep_->add(ChangeKind::put, table, key, value);
}

void WriteBatch::remove(TableId table, std::string_view key) {
  rep_->add(ChangeKind::remove, table, key, {});
}

void WriteBatch::remove_range(TableId table, std::string_view begin, std::string_view end) {
  if (begin >= end) return;
  rep_->add(ChangeKind::remove_range, table, begin, end);
  ++rep_->range_count;
}

size_t WriteBatch::bytes() const { return rep_->buffer.size(); }
size_t WriteBatch::count() const { return rep_->count; }

}  // namespace ziwa::state
