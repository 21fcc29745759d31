#pragma once

#include "base/file.h"
#include "base/log.h"
#include "duck/catalog_api.h"
#include "lake/object_store.h"
#include "log/log.h"
#include "sql/database.h"
#include "sql/testing/fake_engine.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace ziwa::sql::testing {

/// A database over real components in a directory of its own.
class SqlRig {
 public:
  enum class Streams : unsigned char {
    fake,  ///< Everything durable is published at once, unless a test holds it still.
    real,
  };
  explicit SqlRig(Streams streams = Streams::real);
  ~SqlRig();
  SqlRig(const SqlRig&) = delete;
  SqlRig& operator=(const SqlRig&) = delete;

  Database& database() { return *database_; }
  /// The database as after a restart of the server; sessions must be gone.
  void reopen_database();
  /// Only with Streams::fake.
  FakeEngine& fake_engine() { return static_cast<FakeEngine&>(*engine_); }
  catalog::Catalog& catalog() { return *catalog_; }
  log::Log& log() { return *log_; }
  duck::Instance* duck() { return duck_.get(); }
  const Clock& clock() const { return clock_; }
  journal::Journal& journal() { return *journal_; }
  const std::string& directory() const { return directory_; }
  /// A folder that COPY and file functions may use.
  std::string files() const { return directory_ + "/files"; }

 private:
  void open_storage();
  void open_engine(Streams streams);
  void open_database();
  Result<std::shared_ptr<lake::Table>> table(const catalog::Object& object);

  std::string directory_;
  SystemClock clock_;
  Metrics metrics_;
  Settings settings_;
  std::unique_ptr<duck::Instance> duck_;
  std::unique_ptr<state::Store> meta_;
  std::unique_ptr<state::Store> state_;
  std::unique_ptr<catalog::Catalog> catalog_;
  std::unique_ptr<log::Log> log_holder_;
  std::unique_ptr<journal::Journal> journal_;
  log::Log* log_ = nullptr;
  std::map<ObjectId, std::shared_ptr<lake::Table>> tables_;
  std::mutex tables_mutex_;
  std::unique_ptr<stream::Engine> engine_;
  std::unique_ptr<Database> database_;
};

/// All rows of a statement as text, "NULL" for NULL; or its error.
using TextRows = std::vector<std::vector<std::string>>;
Result<TextRows> all_rows(Session& session, std::string_view sql);
/// Reads rows to their end.
Result<TextRows> text_of(Rows& rows);

}  // namespace ziwa::sql::testing
