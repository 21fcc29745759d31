#pragma once

#include "base/result.h"
#include "stream/delta.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

namespace ziwa::stream {

/// An ordered multiset of byte strings per group. Each entry has one weight per *lane*, so that
/// calls that differ in their FILTER share the entries. A small group is one block of memory, a
/// large one sorted blocks under a directory. The states lie in the group table; what they own is
/// counted in bytes(). One thread.
class GroupIndex {
 public:
  static constexpr size_t kStateBytes = 16;  ///< Zero bytes are an empty group.

  explicit GroupIndex(size_t lanes) : lanes_(lanes) {}
  size_t lanes() const { return lanes_; }
  /// Memory of all groups.
  size_t bytes() const { return bytes_; }

  /// `bytes` of all calls: the state of the group. Adds `changes` to the weights of `wanted`, one
  /// per lane, and says what they were before.
  void add(std::byte* bytes, std::string_view wanted, const Weight* changes, Weight* before);
  /// Adds an entry that a checkpoint holds. Errors: corrupt when it is not the greatest so far.
  Status load(std::byte* bytes, std::string_view wanted, const Weight* stored);
  /// Forgets all entries after the first, for groups that only ask for that one and only grow.
  void keep_first(std::byte* bytes);
  /// Gives the memory of the group back.
  void end(std::byte* bytes);

  /// The sum of the positive weights of a lane: how many rows it has.
  Weight rows(const std::byte* bytes, size_t lane) const;
  /// The least, the greatest and the `rank`-th row (from 0) of a lane; until the next change.
  std::optional<std::string_view> first(const std::byte* bytes, size_t lane) const;
  std::optional<std::string_view> last(const std::byte* bytes, size_t lane) const;
  std::optional<std::string_view> nth(const std::byte* bytes, size_t lane, Weight rank) const;
  /// Calls `body` for the entries of a lane in order, as long as it says true.
  using Visit = std::function<bool(std::string_view key, Weight weight)>;
  void visit(const std::byte* bytes, size_t lane, const Visit& body) const;

  /// Calls `put` for entries that changed since the last save and `remove` for stored ones that are
  /// gone.
  using Put = std::function<void(std::string_view key, const Weight* weights)>;
  using Remove = std::function<void(std::string_view key)>;
  void save(std::byte* bytes, const Put& put, const Remove& remove);
  /// Calls `remove` for everything that a checkpoint holds.
  void visit_stored(const std::byte* bytes, const Remove& remove) const;

 private:
  struct Block;
  struct Slot;
  struct State;
  struct Place;

  size_t stride() const;
  size_t header_bytes() const;
  Slot& slot(const Block& block, size_t index) const;
  Weight* weights(const Slot& slot) const;
  Weight* totals(const Block& block) const;
  std::string_view key(const Block& block, size_t index) const;
  size_t lower_bound(const Block& block, std::string_view wanted) const;
  bool empty(const Slot& slot) const;

  Block* make_block(size_t bytes);
  void free_block(Block* block);
  /// Entries [from, to) of `source` in a block of their own, with room for `spare` bytes.
  Block* copy_of(const Block& source, size_t from, size_t to, size_t spare);
  void append(Block& to, const Block& source, size_t index);
  void put_entry(Block& block, size_t index, std::string_view text);
  void erase_entry(Block& block, size_t index);
  void count_totals(Block& block);

  static size_t blocks(const State& state);
  static Block*& block(State& state, size_t index);
  static const Block& block(const State& state, size_t index);
  size_t block_of(const State& state, std::string_view wanted) const;
  void insert_block(State& state, size_t index, Block* made);
  void erase_block(State& state, size_t index);
  Place make_room(State& state, Place place, size_t key_bytes);
  void tidy(State& state);

  size_t lanes_;
  size_t bytes_ = 0;
};

}  // namespace ziwa::stream
