#pragma once

#include <string>
#include <string_view>

namespace ziwa {

/// ASCII letters in lower case; all other bytes as they are.
std::string lower(std::string_view text);

/// `text` between two `mark`s, marks inside it twice: a name of SQL with '"', a text with '\''.
std::string quote(std::string_view text, char mark);
inline std::string quote_name(std::string_view name) { return quote(name, '"'); }
inline std::string quote_text(std::string_view text) { return quote(text, '\''); }

}  // namespace ziwa
