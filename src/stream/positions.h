#pragma once

#include "base/bytes.h"
#include "base/ids.h"

#include <string>
#include <string_view>

// Keys of the table "positions" (docs/formats/stream-state.md). They end with 8 bytes of id,
// big-endian.
namespace ziwa::stream {

inline constexpr std::string_view kMainKey = "main";
inline constexpr std::string_view kFeedPrefix = "feed/";
inline constexpr std::string_view kTablePrefix = "table/";
inline constexpr std::string_view kViewPrefix = "view/";
inline constexpr std::string_view kSinkPrefix = "sink/";
inline constexpr std::string_view kIdlePrefix = "idle/";
inline constexpr uint64_t kStateFormat = 2;  ///< Written; 1 is read too.

/// The id that stands at `position` of a key.
ObjectId id_at(std::string_view key, size_t position);
/// The key of an object.
std::string key_of(std::string_view prefix, ObjectId id);
/// The key of an idle mark.
std::string idle_key(ObjectId topic, EntryNumber entry, int32_t partition);

}  // namespace ziwa::stream
