#pragma once

#include "protocol/kafka/broker.h"
#include "protocol/kafka/connection.h"
#include "protocol/kafka/wire.h"

#include <memory>
#include <string>

namespace ziwa::kafka {

/// One request being handled: what was asked, and the means to answer. Kept alive by whoever will
/// answer; exactly one of reply(), no_reply() and close() must be called, on the loop.
template <typename RequestMessage, typename ResponseMessage>
class Call {
 public:
  using Answer = ResponseMessage;

  Call(Request raw, std::string client_host, Respond respond)
      : raw_(std::move(raw)), client_host_(std::move(client_host)), respond_(std::move(respond)) {}

  /// Errors: invalid_argument (malformed).
  Status decode() {
    Decoder in(raw_.body, version() >= RequestMessage::kFlexibleFrom);
    request.decode(in, version());
    return in.status(RequestMessage::kName);
  }

  RequestMessage request;  ///< Its strings and blobs live as long as the call.

  int16_t version() const { return raw_.header.api_version; }
  std::string_view client_id() const { return raw_.header.client_id; }
  const std::string& client_host() const { return client_host_; }

  void reply(const ResponseMessage& response) {
    constexpr bool kIsApiVersions = ResponseMessage::kApiKey == 18;
    Encoder out(version() >= ResponseMessage::kFlexibleFrom);
    out.number<int32_t>(0);  // The size, known at the end.
    out.number<int32_t>(raw_.header.correlation_id);
    // Response header v1 ends with tagged fields; that of ApiVersions is v0 for ever (KIP-511).
    if constexpr (!kIsApiVersions) out.no_tags();
    response.encode(out, version());
    finish(std::move(out));
  }
  void no_reply() { respond_({}); }
  void close(std::string reason) { respond_({.response = {}, .close_reason = std::move(reason)}); }

 private:
  void finish(Encoder out) {
    Bytes bytes = out.take();
    store_be(bytes.data(), static_cast<int32_t>(bytes.size() - sizeof(int32_t)));
    respond_({.response = std::move(bytes), .close_reason = {}});
  }

  Request raw_;
  std::string client_host_;
  Respond respond_;
};

template <typename RequestMessage, typename ResponseMessage>
using CallPtr = std::shared_ptr<Call<RequestMessage, ResponseMessage>>;

}  // namespace ziwa::kafka
