#include "protocol/postgres/catalog_words.h"
#include "protocol/postgres/client_settings.h"
#include "sql/tokenizer.h"

#include <cstddef>
#include <cstdint>

/// Any statement of a Postgres client: rewritten it is still made of whole tokens and as many
/// statements, and settings that are taken are shown as they were answered.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ziwa;
  using namespace ziwa::protocol::postgres;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  PlainWords words = plain_catalog_words(text);
  const std::string& plain = words.text;
  CHECK(plain.size() >= size, "positions moved: {}", plain);
  CHECK(words.original(plain.size()) == size, "positions do not lead back: {}", plain);
  if (sql::tokenize(text)) {
    CHECK(sql::tokenize(plain), "{}", plain);
    CHECK(sql::split_statements(plain).size() <= sql::split_statements(text).size(), "{}", plain);
  } else {
    CHECK(plain == text);
  }

  ClientSettings settings("15.0");
  CHECK(!ClientSettings::simplify(text).empty() || text.empty());
  auto answer = settings.answer(text);
  if (!answer || !*answer) return 0;
  for (const auto& [name, value] : (*answer)->reported) {
    auto shown = settings.answer("SHOW " + name);
    if (name == "is_superuser") continue;  // Told, never set.
    CHECK(shown && *shown && (*shown)->value == value, "{}", name);
  }
  return 0;
}
