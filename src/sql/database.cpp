#include "sql/database.h"

#include "base/log.h"
#include "sql/attached_catalog.h"
#include "sql/core.h"
#include "sql/nexmark_function.h"
#include "sql/project_load.h"
#include "sql/scan_function.h"
#include "sql/session.h"
#include "sql/session_functions.h"

namespace ziwa::sql {
namespace {

class DatabaseImpl final : public Database {
 public:
  explicit DatabaseImpl(std::shared_ptr<Core> core) : core_(std::move(core)) {}
  ~DatabaseImpl() override { detach_catalog(core_->deps.duck); }

  using Database::session;
  Result<std::unique_ptr<Session>> session(const std::string& user) override {
    return std::unique_ptr<Session>(TRY(SessionImpl::open(core_, user)));
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
  TRY(register_scan_function(core->deps.duck));
  TRY(register_nexmark_function(core->deps.duck));
  TRY(register_session_functions(core->deps.duck, core->deps.version));
  if (Status finished = finish_loads(*core); !finished) {
    log_warn("sql", "rows of a project's files are not in yet; the next apply tries again",
             "error={}", finished.error().to_string());
  }
  return std::make_unique<DatabaseImpl>(std::move(core));
}

}  // namespace ziwa::sql
