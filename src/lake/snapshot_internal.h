#pragma once

#include "lake/actions_internal.h"
#include "lake/delta_schema_internal.h"

#include <memory>
#include <string>
#include <unordered_map>

namespace ziwa::lake {

inline constexpr size_t kFilesMax = 4'000'000;       ///< Data files of one table.
inline constexpr size_t kTombstonesMax = 4'000'000;  ///< Removed files that checkpoints still name.

/// What a scan needs of a table; shared by snapshots.
struct TableContext {
  std::shared_ptr<ObjectStore> store;
  duck::Instance& instance;
  const Clock& clock;
  /// What those who use the table expect it to have, see Table::open(); null: whatever it has.
  std::shared_ptr<const TableColumns> expected = nullptr;
  std::vector<std::string> expected_partition_columns = {};
};
using TableContextPtr = std::shared_ptr<const TableContext>;

/// The state of a table at one version: all that a checkpoint holds.
class Snapshot final : public TableSnapshot, public std::enable_shared_from_this<Snapshot> {
 public:
  int64_t version() const override { return version_; }
  const data::Schema& schema() const override { return columns_->schema; }
  const std::vector<std::string>& partition_columns() const override {
    return metadata_->partition_columns;
  }
  const std::vector<DataFilePtr>& files() const override { return files_; }
  const std::map<std::string, std::string>& properties() const override {
    return metadata_->configuration;
  }
  std::optional<int64_t> transaction_version(const std::string& app_id) const override;
  std::shared_ptr<data::Scan> scan() const override;

  const Protocol& protocol() const { return *protocol_; }
  const Metadata& metadata() const { return *metadata_; }
  const std::shared_ptr<const TableColumns>& columns() const { return columns_; }
  const std::vector<RemoveAction>& tombstones() const { return tombstones_; }
  const std::map<std::string, TransactionAction>& transactions() const { return transactions_; }
  const TableContextPtr& context() const { return context_; }
  /// Whether rows can be read and written. Errors: unsupported, with what another engine has done.
  const Status& readable() const { return readable_; }

 private:
  friend class Replay;
  TableContextPtr context_;
  int64_t version_ = -1;
  std::shared_ptr<const Protocol> protocol_;
  std::shared_ptr<const Metadata> metadata_;
  std::shared_ptr<const TableColumns> columns_;
  std::vector<DataFilePtr> files_;
  std::vector<RemoveAction> tombstones_;
  std::map<std::string, TransactionAction> transactions_;
  Status columns_readable_;  ///< As far as the columns and the protocol go.
  Status readable_;
};
using SnapshotPtr = std::shared_ptr<const Snapshot>;

/// Builds a snapshot from a base and the actions after it, oldest first. Source: PROTOCOL.md,
/// "Action Reconciliation".
class Replay {
 public:
  /// From nothing, or from `base`.
  explicit Replay(TableContextPtr context);
  explicit Replay(const Snapshot& base);
  /// Applies one commit or checkpoint that leads to `version`. `names_are_new`: no added file can
  /// be there already, which only holds for commits of our own writers. Errors: exhausted.
  Status apply(Actions actions, int64_t version, bool names_are_new = false);
  /// Errors: corrupt (no protocol, metadata or schema), unsupported naming the feature; with
  /// expected columns the snapshot is there all the same, and says so: Snapshot::readable().
  Result<SnapshotPtr> finish();

 private:
  void add(DataFilePtr file);
  void remove(RemoveAction action);

  std::shared_ptr<Snapshot> snapshot_;
  std::shared_ptr<const Metadata> parsed_metadata_;  ///< Those that columns_ was made from.
  std::shared_ptr<const Protocol> parsed_protocol_;
  /// Path and deletion vector -> index in files_, made when first needed; a removed file leaves a
  /// null until finish().
  std::unordered_map<std::string, size_t> index_;
  bool indexed_ = false;
  bool has_holes_ = false;
  void ensure_index();
  Status take_columns();
  Status check_files() const;
};

}  // namespace ziwa::lake
