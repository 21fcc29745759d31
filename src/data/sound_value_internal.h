#pragma once

#include "duck/chunk.h"

#include <string_view>

namespace ziwa::data {

/// Whether `bytes` may be given to DuckDB as the text, blob, bits or big number that `type` says.
/// DuckDB checks none of its values, and reads outside of its tables and of the value with some.
bool is_sound_bytes(const duckdb::LogicalType& type, std::string_view bytes);
/// The same of the physical value of a type of fixed width.
bool is_sound_fixed(const duckdb::LogicalType& type, const void* value);

}  // namespace ziwa::data
