#include "protocol/postgres/client_settings.h"
#include "protocol/postgres/messages.h"
#include "protocol/postgres/types.h"

#include <cstddef>
#include <cstdint>

// Anything a client may send: start-up packets, then messages, then what they carry.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ziwa;
  using namespace ziwa::protocol::postgres;
  ByteView input(reinterpret_cast<const std::byte*>(data), size);
  parse_startup(input).ignore("only crashes count");

  FrameReader reader({.startup_bytes = 1000, .message_bytes = 4096});
  if (size % 2 == 0) reader.end_startup();
  reader.feed(input);
  while (true) {
    auto frame = reader.next();
    if (!frame || !*frame) break;
    auto message = parse_message(**frame);
    if (!message) continue;
    if (auto* bind = std::get_if<Bind>(&*message)) {
      for (size_t i = 0; i < bind->parameters.size() && i < 8; ++i) {
        uint32_t type_oid = 1000 + static_cast<uint32_t>(i);
        decode_parameter(bind->parameters[i], true, type_oid, duckdb::LogicalType::UNKNOWN)
            .ignore("only crashes count");
        decode_parameter(bind->parameters[i], true, oid::kNumeric, duckdb::LogicalType::UNKNOWN)
            .ignore("only crashes count");
        decode_parameter(bind->parameters[i], false, 0,
                         duckdb::LogicalType::LIST(duckdb::LogicalType::VARCHAR))
            .ignore("only crashes count");
      }
    }
    if (auto* query = std::get_if<Query>(&*message)) {
      ClientSettings settings("15.0");
      settings.answer(query->sql).ignore("only crashes count");
      ClientSettings::simplify(query->sql);
    }
  }
  return 0;
}
