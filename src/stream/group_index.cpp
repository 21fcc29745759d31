#include "stream/group_index.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

namespace ziwa::stream {
namespace {

constexpr size_t kBlockEntriesMax = 128;
constexpr size_t kBlockBytesMax = 16 << 10;  // Of more than one entry.
constexpr size_t kSmallEntries = kBlockEntriesMax / 4;
constexpr uint32_t kStored = 1;
constexpr uint32_t kChanged = 2;

}  // namespace

/// Head, a total per lane, slots in order that grow upwards, key bytes that grow downwards.
struct GroupIndex::Block {
  uint32_t capacity;    ///< Of all.
  uint32_t count;       ///< Slots.
  uint32_t keys_begin;  ///< Where the key bytes begin.
  uint32_t garbage;     ///< Key bytes of entries that are gone.
  uint64_t changed;     ///< Whether an entry has changed.
};

/// The lanes' weights follow.
struct GroupIndex::Slot {
  uint32_t offset;
  uint32_t size : 30;
  uint32_t flags : 2;
};

/// One block, or a directory of several.
struct GroupIndex::State {
  Block* only;
  std::vector<Block*>* many;
};

struct GroupIndex::Place {
  size_t block;
  size_t slot;
};

size_t GroupIndex::stride() const { return sizeof(Slot) + lanes_ * sizeof(Weight); }
size_t GroupIndex::header_bytes() const { return sizeof(Block) + lanes_ * sizeof(Weight); }

GroupIndex::Slot& GroupIndex::slot(const Block& block, size_t index) const {
  auto* bytes = reinterpret_cast<std::byte*>(const_cast<Block*>(&block));
  return *reinterpret_cast<Slot*>(bytes + header_bytes() + index * stride());
}
Weight* GroupIndex::weights(const Slot& slot) const {
  return reinterpret_cast<Weight*>(const_cast<Slot*>(&slot) + 1);
}
Weight* GroupIndex::totals(const Block& block) const {
  return reinterpret_cast<Weight*>(const_cast<Block*>(&block) + 1);
}
std::string_view GroupIndex::key(const Block& block, size_t index) const {
  const Slot& entry = slot(block, index);
  return {reinterpret_cast<const char*>(&block) + entry.offset, entry.size};
}

size_t GroupIndex::lower_bound(const Block& block, std::string_view wanted) const {
  size_t from = 0;
  size_t to = block.count;
  while (from < to) {
    size_t middle = (from + to) / 2;
    if (key(block, middle) < wanted) {
      from = middle + 1;
    } else {
      to = middle;
    }
  }
  return from;
}

bool GroupIndex::empty(const Slot& slot) const {
  const Weight* all = weights(slot);
  return std::all_of(all, all + lanes_, [](Weight weight) { return weight == 0; });
}

GroupIndex::Block* GroupIndex::make_block(size_t bytes) {
  bytes = (bytes + 15) / 16 * 16;
  CHECK(bytes < (uint64_t{1} << 32), "a block of a group's index is too large");
  auto* block = static_cast<Block*>(std::malloc(bytes));
  if (block == nullptr) throw std::bad_alloc();
  std::memset(static_cast<void*>(block), 0, header_bytes());
  block->capacity = block->keys_begin = static_cast<uint32_t>(bytes);
  bytes_ += bytes;
  return block;
}

void GroupIndex::free_block(Block* block) {
  bytes_ -= block->capacity;
  std::free(block);
}

void GroupIndex::append(Block& to, const Block& source, size_t index) {
  const Slot& from = slot(source, index);
  Slot& entry = slot(to, to.count);
  std::memcpy(static_cast<void*>(&entry), &from, stride());
  to.keys_begin -= from.size;
  entry.offset = to.keys_begin;
  auto text = key(source, index);
  std::memcpy(reinterpret_cast<char*>(&to) + to.keys_begin, text.data(), text.size());
  ++to.count;
  if ((entry.flags & kChanged) != 0) to.changed = 1;
  for (size_t lane = 0; lane < lanes_; ++lane) {
    totals(to)[lane] += std::max<Weight>(weights(entry)[lane], 0);
  }
}

GroupIndex::Block* GroupIndex::copy_of(const Block& source, size_t from, size_t to, size_t spare) {
  size_t bytes = header_bytes() + (to - from) * stride() + spare;
  for (size_t i = from; i < to; ++i) bytes += slot(source, i).size;
  Block* copy = make_block(bytes);
  for (size_t i = from; i < to; ++i) append(*copy, source, i);
  return copy;
}

/// There must be room.
void GroupIndex::put_entry(Block& block, size_t index, std::string_view text) {
  auto* at = reinterpret_cast<std::byte*>(&slot(block, index));
  std::memmove(at + stride(), at, (block.count - index) * stride());
  std::memset(at, 0, stride());
  ++block.count;
  block.keys_begin -= static_cast<uint32_t>(text.size());
  std::memcpy(reinterpret_cast<char*>(&block) + block.keys_begin, text.data(), text.size());
  Slot& entry = slot(block, index);
  entry.offset = block.keys_begin;
  entry.size = static_cast<uint32_t>(text.size()) & ((uint32_t{1} << 30) - 1);
}

void GroupIndex::erase_entry(Block& block, size_t index) {
  block.garbage += slot(block, index).size;
  auto* at = reinterpret_cast<std::byte*>(&slot(block, index));
  std::memmove(at, at + stride(), (block.count - index - 1) * stride());
  --block.count;
}

void GroupIndex::count_totals(Block& block) {
  std::fill_n(totals(block), lanes_, 0);
  for (size_t i = 0; i < block.count; ++i) {
    for (size_t lane = 0; lane < lanes_; ++lane) {
      totals(block)[lane] += std::max<Weight>(weights(slot(block, i))[lane], 0);
    }
  }
}

size_t GroupIndex::blocks(const State& state) {
  if (state.many != nullptr) return state.many->size();
  return state.only == nullptr ? 0 : 1;
}
GroupIndex::Block*& GroupIndex::block(State& state, size_t index) {
  return state.many == nullptr ? state.only : (*state.many)[index];
}
const GroupIndex::Block& GroupIndex::block(const State& state, size_t index) {
  return state.many == nullptr ? *state.only : *(*state.many)[index];
}

/// The block that has the key or where it belongs.
size_t GroupIndex::block_of(const State& state, std::string_view wanted) const {
  size_t from = 0;
  size_t to = blocks(state);
  while (to - from > 1) {
    size_t middle = (from + to) / 2;
    if (wanted < key(block(state, middle), 0)) {
      to = middle;
    } else {
      from = middle;
    }
  }
  return from;
}

void GroupIndex::insert_block(State& state, size_t index, Block* made) {
  if (blocks(state) == 0) {
    state.only = made;
    return;
  }
  if (state.many == nullptr) {
    state.many = new std::vector<Block*>();
    state.many->push_back(state.only);
    state.only = nullptr;
    bytes_ += sizeof(std::vector<Block*>) + state.many->capacity() * sizeof(Block*);
  }
  bytes_ -= state.many->capacity() * sizeof(Block*);
  state.many->insert(state.many->begin() + static_cast<ptrdiff_t>(index), made);
  bytes_ += state.many->capacity() * sizeof(Block*);
}

void GroupIndex::erase_block(State& state, size_t index) {
  free_block(block(state, index));
  if (state.many == nullptr) {
    state.only = nullptr;
    return;
  }
  state.many->erase(state.many->begin() + static_cast<ptrdiff_t>(index));
  if (state.many->size() > 1) return;
  state.only = state.many->front();
  bytes_ -= sizeof(std::vector<Block*>) + state.many->capacity() * sizeof(Block*);
  delete state.many;
  state.many = nullptr;
}

/// Makes room for one more entry before `place`, and says where that is now.
GroupIndex::Place GroupIndex::make_room(State& state, Place place, size_t key_bytes) {
  size_t needed = stride() + key_bytes;
  if (blocks(state) == 0) {
    insert_block(state, 0, make_block(header_bytes() + needed));
    return {0, 0};
  }
  Block* full = block(state, place.block);
  size_t slots_end = header_bytes() + full->count * stride();
  if (full->count < kBlockEntriesMax && slots_end + needed <= full->keys_begin) return place;
  size_t used = slots_end + full->capacity - full->keys_begin - full->garbage;
  if (full->count < kBlockEntriesMax && (full->count < 2 || used + needed <= kBlockBytesMax)) {
    block(state, place.block) = copy_of(*full, 0, full->count, needed + used / 2);
    free_block(full);
    return place;
  }
  if (place.slot == full->count && place.block + 1 == blocks(state)) {
    // Keys that come in order fill their blocks.
    insert_block(state, place.block + 1, make_block(header_bytes() + 8 * needed));
    return {place.block + 1, 0};
  }
  size_t half = full->count / 2;
  insert_block(state, place.block + 1, copy_of(*full, half, full->count, needed + used / 4));
  block(state, place.block) = copy_of(*full, 0, half, needed + used / 4);
  free_block(full);
  return place.slot > half ? Place{place.block + 1, place.slot - half} : place;
}

void GroupIndex::add(std::byte* bytes, std::string_view wanted, const Weight* changes,
                     Weight* before) {
  State& state = *reinterpret_cast<State*>(bytes);
  Place place{0, 0};
  bool found = false;
  if (blocks(state) > 0) {
    place.block = block_of(state, wanted);
    const Block& at = *block(state, place.block);
    place.slot = lower_bound(at, wanted);
    found = place.slot < at.count && key(at, place.slot) == wanted;
  }
  if (!found) {
    place = make_room(state, place, wanted.size());
    put_entry(*block(state, place.block), place.slot, wanted);
  }
  Block& at = *block(state, place.block);
  Slot& entry = slot(at, place.slot);
  Weight* now = weights(entry);
  for (size_t lane = 0; lane < lanes_; ++lane) {
    before[lane] = now[lane];
    now[lane] += changes[lane];
    totals(at)[lane] += std::max<Weight>(now[lane], 0) - std::max<Weight>(before[lane], 0);
  }
  if ((entry.flags & kStored) == 0 && empty(entry)) {
    erase_entry(at, place.slot);
    if (at.count == 0) erase_block(state, place.block);
    return;
  }
  entry.flags |= kChanged;
  at.changed = 1;
}

Status GroupIndex::load(std::byte* bytes, std::string_view wanted, const Weight* stored) {
  State& state = *reinterpret_cast<State*>(bytes);
  Place place{0, 0};
  if (blocks(state) > 0) {
    place.block = blocks(state) - 1;
    const Block& at = *block(state, place.block);
    place.slot = at.count;
    if (key(at, at.count - 1) >= wanted) {
      return Error(Code::corrupt, "the values of a group are not in order");
    }
  }
  place = make_room(state, place, wanted.size());
  Block& at = *block(state, place.block);
  put_entry(at, place.slot, wanted);
  Slot& entry = slot(at, place.slot);
  entry.flags = kStored;
  for (size_t lane = 0; lane < lanes_; ++lane) {
    weights(entry)[lane] = stored[lane];
    totals(at)[lane] += std::max<Weight>(stored[lane], 0);
  }
  return {};
}

void GroupIndex::keep_first(std::byte* bytes) {
  State& state = *reinterpret_cast<State*>(bytes);
  for (size_t i = blocks(state); i-- > 0;) {
    Block& at = *block(state, i);
    for (size_t j = at.count; j-- > (i == 0 ? 1u : 0u);) {
      Slot& entry = slot(at, j);
      std::fill_n(weights(entry), lanes_, 0);
      if ((entry.flags & kStored) == 0) {
        erase_entry(at, j);
      } else {  // Until the next save takes it out of the store.
        entry.flags |= kChanged;
        at.changed = 1;
      }
    }
    count_totals(at);
    if (at.count == 0) erase_block(state, i);
  }
}

void GroupIndex::end(std::byte* bytes) {
  State& state = *reinterpret_cast<State*>(bytes);
  while (blocks(state) > 0) erase_block(state, blocks(state) - 1);
}

Weight GroupIndex::rows(const std::byte* bytes, size_t lane) const {
  const State& state = *reinterpret_cast<const State*>(bytes);
  Weight sum = 0;
  for (size_t i = 0; i < blocks(state); ++i) sum += totals(block(state, i))[lane];
  return sum;
}

std::optional<std::string_view> GroupIndex::first(const std::byte* bytes, size_t lane) const {
  return nth(bytes, lane, 0);
}

std::optional<std::string_view> GroupIndex::last(const std::byte* bytes, size_t lane) const {
  const State& state = *reinterpret_cast<const State*>(bytes);
  for (size_t i = blocks(state); i-- > 0;) {
    const Block& at = block(state, i);
    if (totals(at)[lane] == 0) continue;
    for (size_t j = at.count; j-- > 0;) {
      if (weights(slot(at, j))[lane] > 0) return key(at, j);
    }
  }
  return std::nullopt;
}

std::optional<std::string_view> GroupIndex::nth(const std::byte* bytes, size_t lane,
                                                Weight rank) const {
  const State& state = *reinterpret_cast<const State*>(bytes);
  for (size_t i = 0; i < blocks(state); ++i) {
    const Block& at = block(state, i);
    if (totals(at)[lane] <= rank) {
      rank -= totals(at)[lane];
      continue;
    }
    for (size_t j = 0; j < at.count; ++j) {
      rank -= std::max<Weight>(weights(slot(at, j))[lane], 0);
      if (rank < 0) return key(at, j);
    }
  }
  return std::nullopt;
}

void GroupIndex::visit(const std::byte* bytes, size_t lane, const Visit& body) const {
  const State& state = *reinterpret_cast<const State*>(bytes);
  for (size_t i = 0; i < blocks(state); ++i) {
    const Block& at = block(state, i);
    if (totals(at)[lane] == 0) continue;
    for (size_t j = 0; j < at.count; ++j) {
      Weight weight = weights(slot(at, j))[lane];
      if (weight > 0 && !body(key(at, j), weight)) return;
    }
  }
}

void GroupIndex::save(std::byte* bytes, const Put& put, const Remove& remove) {
  State& state = *reinterpret_cast<State*>(bytes);
  bool shrunk = false;
  for (size_t i = blocks(state); i-- > 0;) {
    Block& at = *block(state, i);
    if (at.changed == 0) continue;
    at.changed = 0;
    for (size_t j = at.count; j-- > 0;) {
      Slot& entry = slot(at, j);
      if ((entry.flags & kChanged) == 0) continue;
      if (!empty(entry)) {
        put(key(at, j), weights(entry));
        entry.flags = kStored;
        continue;
      }
      if ((entry.flags & kStored) != 0) remove(key(at, j));
      erase_entry(at, j);
      shrunk = true;
    }
    if (at.count == 0) erase_block(state, i);
  }
  if (shrunk) tidy(state);
}

/// Gives memory back that entries have left: small neighbours become one block.
void GroupIndex::tidy(State& state) {
  for (size_t i = blocks(state); i-- > 0;) {
    Block* at = block(state, i);
    size_t used =
        header_bytes() + at->count * stride() + at->capacity - at->keys_begin - at->garbage;
    Block* next = i + 1 < blocks(state) ? block(state, i + 1) : nullptr;
    if (next != nullptr && at->count + next->count <= kSmallEntries) {
      size_t more = next->capacity - next->keys_begin + next->count * stride();
      Block* both = copy_of(*at, 0, at->count, more);
      for (size_t j = 0; j < next->count; ++j) append(*both, *next, j);
      block(state, i) = both;
      free_block(at);
      erase_block(state, i + 1);
    } else if (used < at->capacity / 4) {
      block(state, i) = copy_of(*at, 0, at->count, used / 2);
      free_block(at);
    }
  }
}

void GroupIndex::visit_stored(const std::byte* bytes, const Remove& remove) const {
  const State& state = *reinterpret_cast<const State*>(bytes);
  for (size_t i = 0; i < blocks(state); ++i) {
    const Block& at = block(state, i);
    for (size_t j = 0; j < at.count; ++j) {
      if ((slot(at, j).flags & kStored) != 0) remove(key(at, j));
    }
  }
}

}  // namespace ziwa::stream
