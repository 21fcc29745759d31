#include "stream/key_table.h"

#include "base/bytes.h"

namespace ziwa::stream {
namespace {

uint64_t mix(uint64_t a, uint64_t b) {
  auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

constexpr uint64_t kSecret0 = 0xa0761d6478bd642full;
constexpr uint64_t kSecret1 = 0xe7037ed1a0b428dbull;
constexpr uint64_t kSecret2 = 0x8ebc6af09c88c6e3ull;

uint64_t cell_of(uint64_t hash, uint32_t slot) {
  return (hash & ~uint64_t{UINT32_MAX}) | (slot + 1);
}
uint32_t slot_of(uint64_t cell) { return static_cast<uint32_t>(cell) - 1; }

}  // namespace

// wyhash's construction: 16 bytes a round, the tail read with overlap.
uint64_t hash_bytes(std::string_view bytes) {
  const char* p = bytes.data();
  size_t size = bytes.size();
  uint64_t seed = kSecret2 ^ size;
  uint64_t a = 0;
  uint64_t b = 0;
  if (size >= 16) {
    size_t left = size;
    while (left > 16) {
      seed = mix(load_le<uint64_t>(p) ^ kSecret0, load_le<uint64_t>(p + 8) ^ seed);
      p += 16;
      left -= 16;
    }
    a = load_le<uint64_t>(p + left - 16);
    b = load_le<uint64_t>(p + left - 8);
  } else if (size >= 4) {
    size_t half = (size >> 3) << 2;
    a = (uint64_t{load_le<uint32_t>(p)} << 32) | load_le<uint32_t>(p + half);
    b = (uint64_t{load_le<uint32_t>(p + size - 4)} << 32) | load_le<uint32_t>(p + size - 4 - half);
  } else if (size > 0) {
    a = (uint64_t{static_cast<uint8_t>(p[0])} << 16) |
        (uint64_t{static_cast<uint8_t>(p[size >> 1])} << 8) | static_cast<uint8_t>(p[size - 1]);
  }
  return mix(kSecret1 ^ size, mix(a ^ kSecret1, b ^ seed));
}

KeyTable::KeyTable(size_t payload_bytes)
    : stride_((kHeaderBytes + payload_bytes + 15) / 16 * 16), cells_(64), mask_(63) {
  static_assert(sizeof(Header) <= kHeaderBytes);
}

KeyTable::KeyTable(KeyTable&& other) noexcept
    : stride_(other.stride_),
      pages_(std::move(other.pages_)),
      cells_(std::move(other.cells_)),
      mask_(other.mask_),
      size_(other.size_),
      next_(std::exchange(other.next_, 0)),
      free_(other.free_),
      key_bytes_(other.key_bytes_) {}

KeyTable::~KeyTable() {
  for (Slot slot = 0; slot < next_; ++slot) delete[] header_of(slot).key;
}

KeyTable::Slot KeyTable::find(std::string_view key, uint64_t hash) const {
  if (key.empty()) key = "";  // mem* functions take no null, also of size 0.
  for (size_t at = hash & mask_;; at = (at + 1) & mask_) {
    uint64_t cell = cells_[at];
    if (cell == 0) return kNone;
    if ((cell ^ hash) >> 32 != 0) continue;
    const Header& header = header_of(slot_of(cell));
    if (header.key_bytes == key.size() && std::memcmp(header.key, key.data(), key.size()) == 0) {
      return slot_of(cell);
    }
  }
}

KeyTable::Found KeyTable::find_or_insert(std::string_view key, uint64_t hash) {
  if (key.empty()) key = "";  // mem* functions take no null, also of size 0.
  size_t at = hash & mask_;
  for (;; at = (at + 1) & mask_) {
    uint64_t cell = cells_[at];
    if (cell == 0) break;
    if ((cell ^ hash) >> 32 != 0) continue;
    const Header& header = header_of(slot_of(cell));
    if (header.key_bytes == key.size() && std::memcmp(header.key, key.data(), key.size()) == 0) {
      return {slot_of(cell), false};
    }
  }
  Slot slot = new_slot();
  Header& header = header_of(slot);
  header.hash = hash;
  header.key = new char[key.size() + 1];
  header.key_bytes = static_cast<uint32_t>(key.size());
  std::memcpy(header.key, key.data(), key.size());
  std::memset(payload(slot), 0, stride_ - kHeaderBytes);
  key_bytes_ += key.size();
  cells_[at] = cell_of(hash, slot);
  ++size_;
  if (size_ * 2 > cells_.size()) grow();
  return {slot, true};
}

void KeyTable::find_or_insert(const data::ByteBlock& keys, std::vector<Slot>& slots,
                              std::vector<uint8_t>& inserted) {
  size_t count = keys.size();
  slots.resize(count);
  inserted.resize(count);
  hashes_.resize(count);
  for (size_t i = 0; i < count; ++i) {
    hashes_[i] = hash_bytes(keys[i]);
    __builtin_prefetch(&cells_[hashes_[i] & mask_]);
  }
  constexpr size_t kAhead = 8;
  for (size_t i = 0; i < count; ++i) {
    if (i + kAhead < count) {
      uint64_t cell = cells_[hashes_[i + kAhead] & mask_];
      if (cell != 0) __builtin_prefetch(entry(slot_of(cell)));
    }
    Found found = find_or_insert(keys[i], hashes_[i]);
    slots[i] = found.slot;
    inserted[i] = found.inserted ? 1 : 0;
  }
}

void KeyTable::erase(Slot slot) {
  Header& header = header_of(slot);
  size_t at = header.hash & mask_;
  while (cells_[at] != cell_of(header.hash, slot)) at = (at + 1) & mask_;
  // Backward shift: whoever probed past this cell moves up, so that no tombstone is needed.
  size_t hole = at;
  for (size_t next = (at + 1) & mask_; cells_[next] != 0; next = (next + 1) & mask_) {
    size_t home = header_of(slot_of(cells_[next])).hash & mask_;
    if (((next - home) & mask_) < ((next - hole) & mask_)) continue;
    cells_[hole] = cells_[next];
    hole = next;
  }
  cells_[hole] = 0;
  key_bytes_ -= header.key_bytes;
  delete[] header.key;
  header.key = nullptr;
  header.next_free = free_;
  free_ = slot;
  --size_;
}

size_t KeyTable::bytes() const {
  return pages_.size() * kPageSlots * stride_ + cells_.size() * sizeof(uint64_t) + key_bytes_ +
         size_ * 16;  // what malloc adds per key
}

KeyTable::Slot KeyTable::new_slot() {
  if (free_ != kNone) {
    Slot slot = free_;
    free_ = header_of(slot).next_free;
    return slot;
  }
  if (next_ % kPageSlots == 0) {
    pages_.push_back(std::make_unique<std::byte[]>(kPageSlots * stride_));
  }
  return next_++;
}

void KeyTable::grow() {
  std::vector<uint64_t> old(cells_.size() * 2);
  old.swap(cells_);
  mask_ = cells_.size() - 1;
  for (uint64_t cell : old) {
    if (cell == 0) continue;
    uint64_t hash = header_of(slot_of(cell)).hash;
    size_t at = hash & mask_;
    while (cells_[at] != 0) at = (at + 1) & mask_;
    cells_[at] = cell;
  }
}

}  // namespace ziwa::stream
