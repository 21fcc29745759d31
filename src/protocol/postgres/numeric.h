#pragma once

#include "base/bytes.h"
#include "base/result.h"

#include <string>
#include <string_view>

namespace ziwa::protocol::postgres {

// NUMERIC in binary: ndigits i16 | weight i16 | sign u16 | dscale i16 | digits i16[], each 0..9999,
// most significant first; the first digit counts 10000^weight. sign: 0x0000 +, 0x4000 -, 0xC000
// NaN, 0xD000 inf, 0xF000 -inf.

/// Appends the binary form of `text`, a plain decimal number: "-12.340".
void append_numeric_binary(std::string& out, std::string_view text);
/// The inverse. Errors: invalid_argument (malformed, or more digits than any type of ours holds).
Result<std::string> numeric_text(ByteView binary);

}  // namespace ziwa::protocol::postgres
