#pragma once

#include "base/sim_file.h"
#include "catalog/catalog.h"
#include "stream/core.h"
#include "stream/testing/faulty_store.h"
#include "stream/testing/faulty_table.h"
#include "stream/testing/plan_builder.h"
#include "stream/testing/table_text.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ziwa::stream::testing {

/// Journal, log, catalog, state and lake tables over a disk that forgets, with the engine's core
/// (or the threaded engine) above them; killed, cut off and opened again at will.
class StreamRig {
 public:
  explicit StreamRig(uint64_t seed = 1);
  /// Over real files below `root`, and the real clock; crash() and fs() are not for this one.
  StreamRig(FileSystem& files, std::string root);
  ~StreamRig();

  /// Opens everything; `threads`: the real engine, else its core, driven by hand.
  Status try_open(bool threads = false);
  void open(bool threads = false);
  /// The process ends without a word.
  void kill();
  /// The process ends and the power with it.
  void crash();

  struct TopicSpec {
    std::string name = "t";
    PlanBuilder::Columns columns;
    int32_t partitions = 2;
    std::string watermark;
    int64_t delay_us = 0;
    int64_t idle_timeout_ms = 60'000;
  };
  ObjectId create_topic(const TopicSpec& spec);
  ObjectId create_table(const std::string& name, const PlanBuilder::Columns& columns,
                        std::vector<catalog::PartitionField> partitioned_by = {});
  ObjectId create_view(const std::string& name, const Plan& plan);
  Result<ObjectId> try_create_view(const std::string& name, const Plan& plan);
  ObjectId create_sink(const std::string& name, ObjectId from, ObjectId into,
                       uint64_t file_bytes = 1u << 20);
  Status drop(ObjectId id, bool cascade = false);

  /// Appends JSON records as one batch. Returns the entry that holds them.
  EntryNumber produce(ObjectId topic, int32_t partition, const std::vector<std::string>& values);
  Result<EntryNumber> try_produce(ObjectId topic, int32_t partition,
                                  const std::vector<std::string>& values);
  /// Commits the rows of a query (column order of the table) to a table; or removes all files.
  EntryNumber insert(ObjectId id, const std::string& sql);
  EntryNumber delete_all(ObjectId id);

  /// Steps until there is nothing left, also in private pipelines.
  void settle(size_t rows_max = SIZE_MAX);
  Status try_settle(size_t rows_max = SIZE_MAX);
  Status try_checkpoint();
  void checkpoint();

  Bag view(ObjectId id);
  /// Idle marks that the last checkpoint holds.
  int idle_marks();
  Bag scan(data::Scan& scan, const std::vector<size_t>& columns = {},
           std::vector<data::ScanRequest::Bound> bounds = {});
  Bag table(ObjectId id);

  Result<std::shared_ptr<lake::Table>> open_lake_table(ObjectId id) {
    return open_table(*catalog_->snapshot()->find(id));
  }
  PublishedPtr published();
  Core& core() { return *core_; }
  Engine& engine() { return *engine_; }
  journal::Journal& journal() { return *journal_; }
  log::Log& log() { return *log_; }
  catalog::Catalog& catalog() { return *catalog_; }
  state::Store& store() { return *state_; }
  duck::Instance& duck() { return *duck_; }
  SimFileSystem& fs() { return *fs_; }
  ManualClock& clock() { return clock_; }
  /// Called when the catalog has changed and the core has yet to learn it.
  std::function<void()> before_change;
  /// What the engine meets when it opens, reads or writes a table.
  Fault fault;
  /// What the engine meets when it reads or writes its state. Any thread asks.
  Fault store_fault;
  /// How the core is opened, see Core::open().
  bool patient = true;
  /// The core opens its state again, as the engine does after an error.
  void reopen_core();
  Status try_reopen_core();
  /// The error of a view or sink ("" when it runs).
  std::string error_of(ObjectId id);
  std::string state_of(ObjectId id);
  Engine::Options options;
  journal::Journal::Options journal_options;

 private:
  Engine::Dependencies dependencies();
  Result<ObjectId> create(catalog::Object object);
  Status apply(const std::vector<catalog::Change>& changes, EntryNumber entry);
  Result<std::shared_ptr<lake::Table>> open_table(const catalog::Object& object);

  std::string path(const std::string& name) const { return join_path(root_, name); }

  ManualClock clock_;
  SystemClock system_clock_;
  const Clock& used_clock_;
  std::string root_;
  Metrics metrics_;
  std::unique_ptr<SimFileSystem> fs_;
  FileSystem& files_;
  std::unique_ptr<duck::Instance> duck_;
  std::unique_ptr<log::Log> log_;
  std::unique_ptr<journal::Journal> journal_;
  std::unique_ptr<state::Store> meta_;
  std::unique_ptr<state::Store> state_;
  std::unique_ptr<state::Store> faulty_state_;
  std::unique_ptr<catalog::Catalog> catalog_;
  std::map<ObjectId, std::shared_ptr<lake::Table>> lake_tables_;
  std::mutex lake_mutex_;
  std::unique_ptr<Core> core_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace ziwa::stream::testing
