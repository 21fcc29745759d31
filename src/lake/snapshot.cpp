#include "lake/path_internal.h"
#include "lake/protocol_internal.h"
#include "lake/scan_internal.h"
#include "lake/snapshot_internal.h"

namespace ziwa::lake {
namespace {

std::string key_of(const std::string& path, const std::string& deletion_vector) {
  return deletion_vector.empty() ? path : path + '\0' + deletion_vector;
}

}  // namespace

std::optional<int64_t> Snapshot::transaction_version(const std::string& app_id) const {
  auto found = transactions_.find(app_id);
  if (found == transactions_.end()) return std::nullopt;
  return found->second.version;
}

std::shared_ptr<data::Scan> Snapshot::scan() const {
  return make_scan(context_, columns_, shared_from_this(), nullptr);
}

Replay::Replay(TableContextPtr context) : snapshot_(std::make_shared<Snapshot>()) {
  snapshot_->context_ = std::move(context);
}

Replay::Replay(const Snapshot& base)
    : snapshot_(std::make_shared<Snapshot>(base)),
      parsed_metadata_(base.metadata_),
      parsed_protocol_(base.protocol_) {}

void Replay::ensure_index() {
  if (indexed_) return;
  index_.reserve(snapshot_->files_.size());
  for (size_t i = 0; i < snapshot_->files_.size(); ++i) {
    if (const auto& file = snapshot_->files_[i])
      index_[key_of(file->path, file->deletion_vector)] = i;
  }
  indexed_ = true;
}

void Replay::add(DataFilePtr file) {
  ensure_index();
  auto [found, added] =
      index_.try_emplace(key_of(file->path, file->deletion_vector), snapshot_->files_.size());
  if (added) {
    snapshot_->files_.push_back(std::move(file));
  } else {
    snapshot_->files_[found->second] = std::move(file);
  }
}

void Replay::remove(RemoveAction action) {
  ensure_index();
  auto found = index_.find(key_of(action.path, action.deletion_vector));
  if (found != index_.end()) {
    auto& file = snapshot_->files_[found->second];
    if (!action.partition_values) action.partition_values = file->partition_values;
    if (!action.size) action.size = file->size;
    file.reset();
    has_holes_ = true;
    index_.erase(found);
  }
  snapshot_->tombstones_.push_back(std::move(action));
}

Status Replay::apply(Actions actions, int64_t version, bool names_are_new) {
  if (actions.protocol)
    snapshot_->protocol_ = std::make_shared<Protocol>(std::move(*actions.protocol));
  if (actions.metadata)
    snapshot_->metadata_ = std::make_shared<Metadata>(std::move(*actions.metadata));
  // In one commit a path may come with another deletion vector: removals first.
  for (RemoveAction& action : actions.removes) remove(std::move(action));
  if (names_are_new && !indexed_) {
    for (AddAction& action : actions.adds) snapshot_->files_.push_back(std::move(action.file));
  } else {
    for (AddAction& action : actions.adds) add(std::move(action.file));
  }
  for (TransactionAction& action : actions.transactions) {
    std::string app_id = action.app_id;
    snapshot_->transactions_.insert_or_assign(std::move(app_id), std::move(action));
  }
  snapshot_->version_ = version;
  if (snapshot_->files_.size() > kFilesMax || snapshot_->tombstones_.size() > kTombstonesMax) {
    return Error(Code::exhausted, "the table has more than {} files", kFilesMax)
        .with_hint("OPTIMIZE it with the engine that wrote it");
  }
  return {};
}

/// What the log says now, or what is expected of it.
Status Replay::take_columns() {
  Snapshot& snapshot = *snapshot_;
  TRY(check_readable(*snapshot.protocol_, *snapshot.metadata_));
  auto columns = std::make_shared<TableColumns>(TRY(parse_schema(*snapshot.metadata_)));
  if (!snapshot.columns_) {
    snapshot.columns_ = std::move(columns);
    return {};
  }
  Status expected =
      check_expected(*snapshot.columns_, snapshot.context_->expected_partition_columns, *columns,
                     snapshot.metadata_->partition_columns);
  if (expected.has_value()) return {};
  return std::move(expected).error().context(fmt::format(
      "another engine has changed the table's columns by version {}", snapshot.version_));
}

Status Replay::check_files() const {
  for (const DataFilePtr& file : snapshot_->files_) {
    if (!file->deletion_vector.empty()) {
      return Error(Code::unsupported,
                   "the Delta table uses the feature deletionVectors, which cannot be read yet");
    }
    if (!inside_table(file->path)) {
      return Error(Code::unsupported, "the Delta table has a data file outside its folder: {}",
                   file->path)
          .with_hint("absolute paths (shallow clones, added files) cannot be read yet");
    }
  }
  return {};
}

Result<SnapshotPtr> Replay::finish() {
  Snapshot& snapshot = *snapshot_;
  if (!snapshot.protocol_) return Error(Code::corrupt, "the log has no protocol action");
  if (!snapshot.metadata_) return Error(Code::corrupt, "the log has no metaData action");
  if (has_holes_) std::erase(snapshot.files_, nullptr);
  if (parsed_metadata_ != snapshot.metadata_ || parsed_protocol_ != snapshot.protocol_) {
    snapshot.columns_ = snapshot.context_->expected;
    snapshot.columns_readable_ = take_columns();
  }
  snapshot.readable_ =
      snapshot.columns_readable_.has_value() ? check_files() : snapshot.columns_readable_;
  if (snapshot.readable_.has_value()) return SnapshotPtr(std::move(snapshot_));
  // Who expects columns has them, and is told when reading or writing.
  const bool stays =
      snapshot.context_->expected && snapshot.readable_.error().code() == Code::unsupported;
  if (!stays) return snapshot.readable_.error();
  return SnapshotPtr(std::move(snapshot_));
}

}  // namespace ziwa::lake
