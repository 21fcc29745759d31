#include "protocol/postgres/client_settings.h"
#include "protocol/postgres/messages.h"
#include "protocol/postgres/types.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace {

using namespace ziwa;
using namespace ziwa::protocol::postgres;

constexpr MessageLimits kLimits = {.startup_bytes = 1000, .message_bytes = 4096};

void check_bind(const Bind& bind) {
  for (size_t i = 0; i < bind.parameters.size() && i < 8; ++i) {
    uint32_t type_oid = 1000 + static_cast<uint32_t>(i);
    decode_parameter(bind.parameters[i], true, type_oid, duckdb::LogicalType::UNKNOWN)
        .ignore("only crashes count");
    decode_parameter(bind.parameters[i], true, oid::kNumeric, duckdb::LogicalType::UNKNOWN)
        .ignore("only crashes count");
    decode_parameter(bind.parameters[i], false, 0,
                     duckdb::LogicalType::LIST(duckdb::LogicalType::VARCHAR))
        .ignore("only crashes count");
  }
}

void check_message(const Frame& frame) {
  auto message = parse_message(frame);
  if (!message) return;
  if (auto* bind = std::get_if<Bind>(&*message)) check_bind(*bind);
  if (auto* query = std::get_if<Query>(&*message)) {
    ClientSettings settings("15.0");
    settings.answer(query->sql).ignore("only crashes count");
    ClientSettings::simplify(query->sql);
  }
}

/// What a reader cuts out of bytes that come `step` at a time: type and body of each message, and
/// "!" for an error, after which the connection ends.
std::vector<std::string> frames(ByteView input, size_t step, bool started) {
  FrameReader reader(kLimits);
  if (started) reader.end_startup();
  std::vector<std::string> found;
  while (!input.empty()) {
    size_t count = std::min(step, input.size());
    reader.feed(input.subspan(0, count));
    input = input.subspan(count);
    while (true) {
      auto frame = reader.next();
      if (!frame) {
        found.emplace_back("!");
        return found;
      }
      if (!*frame) break;
      CHECK((*frame)->body.size() <= std::max(kLimits.startup_bytes, kLimits.message_bytes));
      check_message(**frame);
      found.push_back((*frame)->type + std::string(as_text((*frame)->body)));
    }
  }
  return found;
}

}  // namespace

// Anything a client may send: start-up packets, then messages, then what they carry. However the
// network cuts the bytes up, the messages are the same.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ByteView input(reinterpret_cast<const std::byte*>(data), size);
  parse_startup(input).ignore("only crashes count");
  bool started = size % 2 == 0;
  auto whole = frames(input, std::max<size_t>(size, 1), started);
  CHECK(frames(input, 1 + size % 7, started) == whole, "the messages depend on how they came");
  return 0;
}
