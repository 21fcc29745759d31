#pragma once

#include "base/bytes.h"
#include "log/log.h"

namespace ziwa::log {

/// Whether the log can work with `config`. Errors: invalid_argument naming the field and its range.
Status check_topic_config(const TopicConfig& config);
/// The file <topic id>/topic: magic u32, version u32, crc u32 of what follows, then the fields
/// (docs/formats/log.md).
Bytes encode_topic_config(const TopicConfig& config);
/// Errors: corrupt; unsupported (written by a newer Ziwa).
Result<TopicConfig> decode_topic_config(ByteView bytes);

}  // namespace ziwa::log
