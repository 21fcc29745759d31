#include "protocol/kafka/messages/delete_groups.h"

#include "protocol/kafka/errors.h"
#include "protocol/kafka/handlers/handlers.h"

namespace ziwa::kafka {
namespace {

using DeleteCall = Call<DeleteGroupsRequest, DeleteGroupsResponse>;

/// Answers when the last of the groups is gone. Loop thread only.
struct Deletion {
  std::shared_ptr<DeleteCall> call;
  DeleteGroupsResponse response;
  size_t left = 0;
};

}  // namespace

void handle_delete_groups(Broker& broker, std::shared_ptr<DeleteCall> call) {
  auto deletion = std::make_shared<Deletion>();
  deletion->call = call;
  const auto& names = call->request.groups_names;
  deletion->response.results.resize(names.size());
  deletion->left = names.size();
  if (names.empty()) return call->reply(deletion->response);
  for (size_t i = 0; i < names.size(); ++i) {
    deletion->response.results[i].group_id = names[i];
    broker.groups().remove(std::string(names[i]), [deletion, i](groups::GroupError error) {
      deletion->response.results[i].error_code = wire(error_code_of(error));
      if (--deletion->left == 0) deletion->call->reply(deletion->response);
    });
  }
}

}  // namespace ziwa::kafka
