#pragma once

#include "protocol/kafka/broker.h"

#include <cstdint>
#include <span>

namespace ziwa::kafka {

inline constexpr int16_t kProduceKey = 0;
inline constexpr int16_t kApiVersionsKey = 18;

/// One API of the protocol that this server speaks.
struct Api {
  int16_t key;
  const char* name;
  int16_t advertised_min;  ///< What ApiVersions says; may be lower than what is served, see
                           ///< api_table.cpp.
  int16_t version_min;
  int16_t version_max;
  int16_t flexible_from;
  void (*handle)(Broker& broker, Request request, std::string client_host, Respond respond);
  /// Decodes the body of a request of a served version and drops it: what the fuzzer calls.
  Status (*check)(ByteView body, int16_t version);
};

/// In order of key.
std::span<const Api> api_table();
/// Null when the API is not spoken.
const Api* find_api(int16_t key);
/// Does a request with this key and version have a header with tagged fields?
bool is_flexible(int16_t key, int16_t version);

}  // namespace ziwa::kafka
