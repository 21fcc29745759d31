#include "protocol/kafka/messages/api_versions.h"

#include "protocol/kafka/api_table.h"
#include "protocol/kafka/handlers/handlers.h"

namespace ziwa::kafka {
namespace {

ApiVersionsResponse all_apis() {
  ApiVersionsResponse response;
  for (const Api& api : api_table()) {
    response.api_keys.push_back(
        {.api_key = api.key, .min_version = api.advertised_min, .max_version = api.version_max});
  }
  return response;
}

}  // namespace

void handle_api_versions(Broker&, CallPtr<ApiVersionsRequest, ApiVersionsResponse> call) {
  call->reply(all_apis());
}

void handle_api_versions_of_another_version(Broker&,
                                            CallPtr<ApiVersionsRequest, ApiVersionsResponse> call) {
  ApiVersionsResponse response = all_apis();
  response.error_code = wire(ErrorCode::unsupported_version);
  call->reply(response);
}

}  // namespace ziwa::kafka
