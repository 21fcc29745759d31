#include "protocol/kafka/messages/list_groups.h"

#include "protocol/kafka/errors.h"
#include "protocol/kafka/handlers/handlers.h"

#include <algorithm>
#include <cctype>

namespace ziwa::kafka {
namespace {

constexpr std::string_view kType = "classic";

bool same_word(std::string_view a, std::string_view b) {
  return std::ranges::equal(
      a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

/// An empty filter lets everything through.
bool passes(const std::vector<std::string_view>& filter, std::string_view word) {
  return filter.empty() || std::ranges::any_of(filter, [&](std::string_view wanted) {
           return same_word(wanted, word);
         });
}

}  // namespace

void handle_list_groups(Broker& broker, CallPtr<ListGroupsRequest, ListGroupsResponse> call) {
  ListGroupsResponse response;
  if (passes(call->request.types_filter, kType)) {
    for (auto& group : broker.groups().list()) {
      const std::string_view state = groups::state_name(group.state);
      if (!passes(call->request.states_filter, state)) continue;
      response.groups.push_back({.group_id = std::move(group.group_id),
                                 .protocol_type = std::move(group.protocol_type),
                                 .group_state = std::string(state),
                                 .group_type = std::string(kType)});
    }
  }
  call->reply(response);
}

}  // namespace ziwa::kafka
