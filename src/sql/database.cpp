#include "sql/database.h"

#include "sql/attached_catalog.h"
#include "sql/core.h"
#include "sql/session.h"
#include "sql/tumble_function.h"

namespace ziwa::sql {
namespace {

class DatabaseImpl final : public Database {
 public:
  explicit DatabaseImpl(std::shared_ptr<Core> core) : core_(std::move(core)) {}
  ~DatabaseImpl() override { detach_catalog(core_->deps.duck); }

  Result<std::unique_ptr<Session>> session() override {
    return std::unique_ptr<Session>(TRY(SessionImpl::open(core_)));
  }
  void set_consumer_groups(ConsumerGroups source) override {
    core_->set_consumer_groups(std::move(source));
  }

 private:
  std::shared_ptr<Core> core_;
};

}  // namespace

Result<std::unique_ptr<Database>> Database::open(Dependencies dependencies) {
  auto core = std::make_shared<Core>(std::move(dependencies));
  TRY(attach_catalog(core));
  TRY(register_tumble_function(core->deps.duck));
  return std::make_unique<DatabaseImpl>(std::move(core));
}

}  // namespace ziwa::sql
