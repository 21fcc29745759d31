#pragma once

#include <fmt/core.h>

#include <compare>
#include <cstdint>
#include <functional>

namespace ziwa {

/// A number that means one thing. Explicit to build, ordered, hashable, printable; `.value` is the
/// number.
template <typename Tag, typename Number>
struct Strong {
  using number_type = Number;
  Number value{};
  constexpr Strong() = default;
  constexpr explicit Strong(Number number) : value(number) {}
  friend constexpr auto operator<=>(Strong, Strong) = default;
  constexpr Strong next() const { return Strong(value + 1); }
};

/// Position of a record in a partition, from 0, never reused.
using Offset = Strong<struct OffsetTag, int64_t>;
/// Number of an entry in the journal, from 1; 0 means "before everything". Never reused.
using EntryNumber = Strong<struct EntryNumberTag, uint64_t>;
/// A prefix of the journal: the number of its last entry. Gives the same rows wherever it is
/// computed.
using Epoch = EntryNumber;
/// Identity of a catalog object for ever: never reused, unchanged by RENAME.
using ObjectId = Strong<struct ObjectIdTag, uint64_t>;
/// Milliseconds since 1970-01-01 UTC, as Kafka counts.
using TimestampMs = Strong<struct TimestampMsTag, int64_t>;

/// One partition of one topic.
struct PartitionId {
  ObjectId topic;
  int32_t partition = 0;
  friend auto operator<=>(const PartitionId&, const PartitionId&) = default;
};

}  // namespace ziwa

template <typename Tag, typename Number>
struct std::hash<ziwa::Strong<Tag, Number>> {
  size_t operator()(ziwa::Strong<Tag, Number> id) const noexcept {
    return std::hash<Number>()(id.value);
  }
};

template <>
struct std::hash<ziwa::PartitionId> {
  size_t operator()(const ziwa::PartitionId& id) const noexcept {
    return std::hash<uint64_t>()(id.topic.value * 0x9E3779B97F4A7C15ull +
                                 static_cast<uint64_t>(id.partition));
  }
};

template <typename Tag, typename Number>
struct fmt::formatter<ziwa::Strong<Tag, Number>> {
  constexpr auto parse(fmt::format_parse_context& context) { return context.begin(); }
  // Through format_to: formatter<Number>::format would need all of fmt/format.h here.
  template <typename Context>
  auto format(const ziwa::Strong<Tag, Number>& id, Context& context) const {
    return fmt::format_to(context.out(), "{}", id.value);
  }
};
