#include "lake/clean_up_internal.h"
#include "lake/log_internal.h"
#include "lake/protocol_internal.h"
#include "lake/table_writer_internal.h"

#include <algorithm>

// What goes, and why it is safe, is in README.md, "Cleaning up".
namespace ziwa::lake {
namespace {

constexpr size_t kListingMax = 10'000'000;
constexpr int64_t kLogRetentionMs = 30 * kMsPerDay;
/// A data file that no commit names yet may be about to be committed, whatever the table's property
/// says of those that were.
constexpr int64_t kUnnamedMs = 3'600'000;

/// The newest version that is not younger than `cutoff_ms`. A commit is as old as its file, but no
/// older than those before it.
std::optional<int64_t> version_at(const std::vector<ObjectInfo>& log, int64_t cutoff_ms) {
  std::optional<int64_t> newest;
  for (const ObjectInfo& object : log) {
    auto version = commit_of(object.key);
    if (!version) continue;
    if (object.modified_ms > cutoff_ms) break;
    newest = version;
  }
  return newest;
}

/// Without its folders: a UUID, so that however a commit spells the path, the file is found.
std::string name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

std::vector<std::string> keys_of(const std::vector<ObjectInfo>& objects) {
  std::vector<std::string> keys;
  for (const ObjectInfo& object : objects) keys.push_back(object.key);
  return keys;
}

}  // namespace

void Needs::add(const Needs& other) {
  if (other.version) version = std::min(version.value_or(*other.version), *other.version);
  if (!other.files) files.reset();
  if (files) files->insert(other.files->begin(), other.files->end());
}

Result<CleanUpRound> CleanUpRound::begin(const TableContextPtr& context) {
  CleanUpRound round(context);
  round.begun_ms_ = context->clock.now().value;
  auto objects = TRY(context->store->list("", "", kListingMax));
  // Without a commit that names a file it would look lost.
  if (objects.size() >= kListingMax) {
    return Error(Code::exhausted, "the table's folder holds more than {} objects", kListingMax);
  }
  for (ObjectInfo& object : objects) {
    if (object.key.starts_with(kLogFolder)) {
      round.log_.push_back(std::move(object));
    } else if (is_our_data_file(object.key)) {
      round.data_.push_back(std::move(object));
    }
  }
  return round;
}

Status CleanUpRound::clean_log(const Snapshot& now, const Needs& needs) {
  const Metadata& metadata = now.metadata();
  if (!flag_property(metadata, "delta.enableExpiredLogCleanup", true)) return {};
  const int64_t kept_ms =
      TRY(duration_property_ms(metadata, "delta.logRetentionDuration", kLogRetentionMs));
  const int64_t expired_ms = context_->clock.now().value - kept_ms;
  const auto expired_version = version_at(log_, expired_ms - expired_ms % kMsPerDay);
  if (!expired_version) return {};
  const int64_t needed = needs.version.value_or(*expired_version);
  held_back_ = needed < *expired_version;
  auto checkpoint = newest_checkpoint(keys_of(log_), std::min(needed, *expired_version));
  if (!checkpoint) return {};
  std::vector<std::string> expired;
  for (const ObjectInfo& object : log_) {
    if (is_covered(object.key, checkpoint->version)) expired.push_back(object.key);
  }
  if (expired.empty()) return {};
  // From here on the state lives in this checkpoint: it must be whole.
  Replay replay(context_);
  TRY(replay.apply(TRY(read_checkpoint(*context_, checkpoint->keys)), checkpoint->version));
  TRY(replay.finish());
  TRY(context_->store->remove_many(expired));
  cleaned_.log = expired.size();
  std::erase_if(
      log_, [&](const ObjectInfo& object) { return is_covered(object.key, checkpoint->version); });
  return {};
}

/// Takes those off that a commit in the log adds or removes.
Status CleanUpRound::drop_named(Orphans& orphans) const {
  for (const ObjectInfo& object : log_) {
    if (orphans.empty()) return {};
    auto version = commit_of(object.key);
    if (!version) continue;
    Actions actions = TRY(read_commit(*context_, *version));
    for (const AddAction& add : actions.adds) orphans.erase(name_of(add.file->path));
    for (const RemoveAction& remove : actions.removes) orphans.erase(name_of(remove.path));
  }
  return {};
}

Status CleanUpRound::clean_data(const Snapshot& now, const Needs& needs) {
  if (!needs.files) return {};
  const int64_t kept_ms = std::max(TRY(deleted_file_retention_ms(now.metadata())), kUnnamedMs);
  const int64_t before_ms = context_->clock.now().value - kept_ms;
  Orphans orphans;
  for (const ObjectInfo& object : data_) {
    if (object.modified_ms < before_ms) orphans[name_of(object.key)].push_back(object.key);
  }
  for (const DataFilePtr& file : now.files()) orphans.erase(name_of(file->path));
  // A file of a version before the newest was taken away by a commit in between: one that was
  // listed, or one that is younger than that.
  const int64_t removed_since_ms = std::min(begun_ms_, before_ms);
  for (const RemoveAction& tombstone : now.tombstones()) {
    if (tombstone.deleted_ms >= removed_since_ms) orphans.erase(name_of(tombstone.path));
  }
  for (const std::string& file : *needs.files) orphans.erase(name_of(file));
  TRY(drop_named(orphans));
  std::vector<std::string> keys;
  for (const auto& [name, objects] : orphans)
    keys.insert(keys.end(), objects.begin(), objects.end());
  if (keys.empty()) return {};
  TRY(context_->store->remove_many(keys));
  cleaned_.data = keys.size();
  return {};
}

}  // namespace ziwa::lake
