#include "sql/define.h"
#include "sql/rewrite.h"
#include "sql/statement.h"
#include "sql/tokenizer.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

/// Whatever bytes come: no crash, positions inside the statement, splitting covers no byte twice.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ziwa;
  using namespace ziwa::sql;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  size_t end = 0;
  for (const StatementSpan& span : split_statements(text)) {
    CHECK(span.begin >= end && span.begin < span.end && span.end <= size);
    end = span.end;
  }
  auto statement = parse_statement(text);
  if (!statement && statement.error().position()) CHECK(*statement.error().position() <= size);
  auto rewritten = rewrite_statement(text);
  if (rewritten) {
    for (size_t i = 0; i <= rewritten->text.size(); i += 7) CHECK(rewritten->original(i) <= size);
  }
  static_cast<void>(normalised(text));
  return 0;
}
