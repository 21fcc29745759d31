#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ziwa::protocol {

// Texts of scalars as Postgres and ISO 8601 write them; each appends to `out` and allocates nothing
// else.

/// Decimal digits.
void append_integer(std::string& out, int64_t value);
void append_unsigned(std::string& out, uint64_t value);
/// The shortest digits that read back as the same number; plain notation from 1e-4 to 1e15. NaN,
/// Infinity, -Infinity.
void append_float(std::string& out, double value);
void append_float(std::string& out, float value);
/// "2001-07-04", "infinity", "0044-03-15 BC"; `days` since 1970.
void append_date(std::string& out, int32_t days);
/// "23:59:59", with up to six decimals, trailing zeros cut; `us` since midnight.
void append_time(std::string& out, int64_t us);
/// Date, `separator` (' ' or 'T'), time; `us` since 1970. "infinity" and "-infinity" as DuckDB
/// stores them.
void append_timestamp(std::string& out, int64_t us, char separator);
/// "1 year 2 mons 3 days 04:05:06.7": Postgres's output style.
void append_interval(std::string& out, int32_t months, int32_t days, int64_t us);
/// Two lower-case hexadecimal digits per byte.
void append_hex(std::string& out, std::string_view bytes);
/// A JSON string with its quotes; bytes that are not UTF-8 pass unchanged.
void append_json_string(std::string& out, std::string_view text);

}  // namespace ziwa::protocol
