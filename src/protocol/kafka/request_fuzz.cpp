// Bytes from the network: whatever they are, a connection finds requests in them or refuses them,
// and every request decodes or is refused.
#include "protocol/kafka/api_table.h"
#include "protocol/kafka/connection.h"

#include <cstring>

namespace ziwa::kafka {
namespace {

void decode(const Request& request) {
  const Api* api = find_api(request.header.api_key);
  if (api == nullptr) return;
  const int16_t version = request.header.api_version;
  if (version < api->version_min || version > api->version_max) return;
  api->check(request.body, version).ignore("refusing is right; crashing is not");
}

void feed(std::string_view input) {
  static const Connection::Limits kLimits{
      .request_bytes_max = 1 << 20, .unanswered_bytes_max = 1 << 16, .in_flight_max = 4};
  MemoryBudget memory(1 << 20);
  Connection connection(kLimits, memory);
  while (!input.empty()) {
    auto space = connection.space();
    if (space.empty()) return;
    const size_t count = std::min(space.size(), input.size());
    std::memcpy(space.data(), input.data(), count);
    input.remove_prefix(count);
    Status status = connection.received(count);
    while (status) {
      auto request = connection.next();
      if (!request) break;
      decode(*request);
      connection.answer(request->sequence, {});
      status = connection.resume();
    }
    if (!status) return;
  }
}

}  // namespace
}  // namespace ziwa::kafka

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ziwa::kafka::feed({reinterpret_cast<const char*>(data), size});
  return 0;
}
