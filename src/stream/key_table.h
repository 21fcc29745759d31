#pragma once

#include "data/row_key.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace ziwa::stream {

/// 64-bit hash of bytes; the same on every machine and version, so that shards may be chosen by it.
uint64_t hash_bytes(std::string_view bytes);

/// A compact hash table from key bytes to a fixed number of payload bytes: open addressing over
/// 8-byte cells, entries in pages that never move. One thread. Memory is given back when entries
/// are erased, pages are reused.
class KeyTable {
 public:
  using Slot = uint32_t;
  static constexpr Slot kNone = UINT32_MAX;

  /// `payload_bytes` are zero in a new entry; aligned to 16.
  explicit KeyTable(size_t payload_bytes);
  ~KeyTable();
  KeyTable(KeyTable&& other) noexcept;
  KeyTable& operator=(KeyTable&&) = delete;

  struct Found {
    Slot slot = kNone;
    bool inserted = false;
  };
  Found find_or_insert(std::string_view key) { return find_or_insert(key, hash_bytes(key)); }
  Found find_or_insert(std::string_view key, uint64_t hash);
  Slot find(std::string_view key) const { return find(key, hash_bytes(key)); }
  Slot find(std::string_view key, uint64_t hash) const;
  /// Slots of all keys, `inserted[i]` for those that are new. Hashes and prefetches a block at a
  /// time.
  void find_or_insert(const data::ByteBlock& keys, std::vector<Slot>& slots,
                      std::vector<uint8_t>& inserted);
  void erase(Slot slot);

  std::byte* payload(Slot slot) { return entry(slot) + kHeaderBytes; }
  const std::byte* payload(Slot slot) const { return entry(slot) + kHeaderBytes; }
  std::string_view key(Slot slot) const {
    const Header& header = header_of(slot);
    return {header.key, header.key_bytes};
  }
  bool used(Slot slot) const { return header_of(slot).key != nullptr; }
  size_t size() const { return size_; }
  /// Every slot is below this; ask used().
  Slot slots_end() const { return next_; }
  size_t bytes() const;

 private:
  struct Header {
    uint64_t hash;
    char* key;  ///< Null: free.
    uint32_t key_bytes;
    Slot next_free;
  };
  static constexpr size_t kHeaderBytes = 32;  ///< sizeof(Header), rounded so that payloads align.
  static constexpr size_t kPageSlots = 1024;

  std::byte* entry(Slot slot) const {
    return pages_[slot / kPageSlots].get() + (slot % kPageSlots) * stride_;
  }
  Header& header_of(Slot slot) const { return *reinterpret_cast<Header*>(entry(slot)); }
  Slot new_slot();
  void grow();

  size_t stride_;
  std::vector<std::unique_ptr<std::byte[]>> pages_;
  std::vector<uint64_t> cells_;  ///< 0: empty; else upper hash bits and slot + 1.
  size_t mask_ = 0;
  size_t size_ = 0;
  Slot next_ = 0;
  Slot free_ = kNone;
  size_t key_bytes_ = 0;
  std::vector<uint64_t> hashes_;
};

}  // namespace ziwa::stream
