#include "base/json_depth.h"
#include "lake/log_internal.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <map>
#include <set>

namespace ziwa::lake {
namespace {

constexpr size_t kListingMax = 5'000'000;
constexpr size_t kUuidSize = 36;  ///< In the name of a v2 checkpoint.

/// What the names in _delta_log say.
struct Listing {
  std::set<int64_t> commits;
  /// Version -> its single-file checkpoint.
  std::set<int64_t> checkpoints;
  /// (Version, number of parts) -> parts found.
  std::map<std::pair<int64_t, int64_t>, std::vector<std::string>> parts;
  /// Version -> a v2 checkpoint of it; of several, the first by name.
  std::map<int64_t, std::string> v2_checkpoints;
};

/// The part of `name` up to the next '.', taken off it.
std::string_view take_word(std::string_view& name) {
  size_t end = std::min(name.find('.'), name.size());
  std::string_view word = name.substr(0, end);
  name.remove_prefix(std::min(end + 1, name.size()));
  return word;
}

std::optional<int64_t> number(std::string_view word, size_t digits) {
  int64_t value = 0;
  if (word.size() != digits || word.starts_with('-')) return std::nullopt;
  auto [end, failed] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (failed != std::errc() || end != word.data() + word.size()) return std::nullopt;
  return value;
}

void note(const std::string& key, Listing& listing) {
  std::string_view name = std::string_view(key).substr(std::string_view(kLogFolder).size());
  auto version = number(take_word(name), 20);
  if (!version) return;
  if (name == "json") {
    listing.commits.insert(*version);
    return;
  }
  if (take_word(name) != "checkpoint") return;
  if (name == "parquet") {
    listing.checkpoints.insert(*version);
    return;
  }
  std::string_view word = take_word(name);
  if (word.size() == kUuidSize) {
    if (name == "parquet" || name == "json") listing.v2_checkpoints.try_emplace(*version, key);
    return;
  }
  auto part = number(word, 10);
  auto total = number(take_word(name), 10);
  bool in_range = part && total && *part >= 1 && *part <= *total;
  if (in_range && name == "parquet") listing.parts[{*version, *total}].push_back(key);
}

Result<Listing> list_log(const TableContext& context, const std::string& after) {
  auto objects = TRY(context.store->list(kLogFolder, after, kListingMax));
  Listing listing;
  for (const ObjectInfo& object : objects) note(object.key, listing);
  return listing;
}

/// The newest complete checkpoint up to `limit`.
std::optional<CheckpointFiles> choose_checkpoint(const Listing& listing, int64_t limit) {
  CheckpointFiles best;
  for (int64_t version : listing.checkpoints) {
    if (version <= limit && version > best.version) best = {version, {checkpoint_key(version)}};
  }
  for (const auto& [id, keys] : listing.parts) {
    auto [version, total] = id;
    if (version <= limit && version > best.version && static_cast<int64_t>(keys.size()) == total) {
      best = {version, keys};
    }
  }
  for (const auto& [version, key] : listing.v2_checkpoints) {
    if (version <= limit && version > best.version) best = {version, {key}};
  }
  if (best.version < 0) return std::nullopt;
  return best;
}

/// Where `_last_checkpoint` says the listing can begin.
std::string listing_start(const TableContext& context) {
  auto version = last_checkpoint(context);
  const bool known = version.has_value() && *version > int64_t{0};  // Else the whole log is listed.
  // The key just before everything of that version.
  return known ? fmt::format("{}{:020}", kLogFolder, **version) : "";
}

/// The oldest version that can be read, as far as a listing of the whole log says.
std::optional<int64_t> oldest_version(const Listing& listing) {
  if (listing.commits.contains(0)) return 0;
  std::optional<int64_t> oldest;
  auto take = [&](int64_t version) { oldest = std::min(oldest.value_or(version), version); };
  if (!listing.checkpoints.empty()) take(*listing.checkpoints.begin());
  if (!listing.v2_checkpoints.empty()) take(listing.v2_checkpoints.begin()->first);
  for (const auto& [id, keys] : listing.parts) {
    if (static_cast<int64_t>(keys.size()) == id.second) take(id.first);
  }
  return oldest;
}

/// Commits behind a checkpoint may be cleaned up; after the last one they must all be there.
Error missing_commit(const Listing& listing, int64_t target, int64_t version) {
  auto newest = choose_checkpoint(listing, std::numeric_limits<int64_t>::max());
  if (!newest || newest->version < version) {
    return Error(Code::corrupt, "the Delta log has a gap: version {} is missing", version);
  }
  Error error(Code::not_found, "version {} of the Delta table was cleaned up", target);
  auto oldest = oldest_version(listing);
  if (!oldest || *oldest <= target) return error;
  return std::move(error).with_hint(fmt::format("the oldest that can be read is {}", *oldest));
}

Result<SnapshotPtr> load_from(const TableContextPtr& context, const Listing& listing,
                              int64_t target) {
  auto checkpoint = choose_checkpoint(listing, target);
  Replay replay(context);
  int64_t version = -1;
  if (checkpoint) {
    TRY(replay.apply(TRY(read_checkpoint(*context, checkpoint->keys)), checkpoint->version));
    version = checkpoint->version;
  }
  while (version < target) {
    ++version;
    if (!listing.commits.contains(version)) return missing_commit(listing, target, version);
    TRY(replay.apply(TRY(read_commit(*context, version)), version));
  }
  return replay.finish();
}

int64_t newest_version(const Listing& listing) {
  int64_t newest = listing.commits.empty() ? -1 : *listing.commits.rbegin();
  if (!listing.checkpoints.empty()) newest = std::max(newest, *listing.checkpoints.rbegin());
  if (!listing.v2_checkpoints.empty())
    newest = std::max(newest, listing.v2_checkpoints.rbegin()->first);
  for (const auto& [id, keys] : listing.parts) {
    if (static_cast<int64_t>(keys.size()) == id.second) newest = std::max(newest, id.first);
  }
  return newest;
}

/// Whether the listing that began at the hint holds all that is needed.
bool covers(const Listing& listing, int64_t target) {
  return newest_version(listing) >= target && choose_checkpoint(listing, target).has_value();
}

}  // namespace

std::optional<int64_t> commit_of(const std::string& key) {
  if (!key.starts_with(kLogFolder)) return std::nullopt;
  std::string_view name = std::string_view(key).substr(std::string_view(kLogFolder).size());
  auto version = number(take_word(name), 20);
  return name == "json" ? version : std::nullopt;
}

bool is_covered(const std::string& key, int64_t version) {
  if (!key.starts_with(kLogFolder)) return false;
  std::string_view name = std::string_view(key).substr(std::string_view(kLogFolder).size());
  auto own = number(take_word(name), 20);
  if (!own) return false;
  if (name == "json" || name == "crc") return *own < version;
  std::string_view word = take_word(name);
  if (word != "checkpoint") {
    return number(word, 20) && name == "compacted.json" && *own <= version;
  }
  Listing alone;
  note(key, alone);
  const bool is_checkpoint =
      !alone.checkpoints.empty() || !alone.parts.empty() || !alone.v2_checkpoints.empty();
  return is_checkpoint && *own < version;
}

std::optional<CheckpointFiles> newest_checkpoint(const std::vector<std::string>& log,
                                                 int64_t limit) {
  Listing listing;
  for (const std::string& key : log) note(key, listing);
  return choose_checkpoint(listing, limit);
}

Result<std::optional<int64_t>> last_checkpoint(const TableContext& context) {
  auto content = context.store->get(fmt::format("{}_last_checkpoint", kLogFolder));
  if (!content.has_value() && content.error().code() != Code::not_found)
    return std::move(content).error();
  std::optional<int64_t> version;
  if (!content.has_value() || json_nests_deeper(as_text(*content))) return version;
  auto hint = nlohmann::json::parse(as_text(*content), nullptr, false);
  if (hint.is_object() && hint.contains("version") && hint["version"].is_number_integer())
    version = hint["version"].get<int64_t>();
  return version;
}

std::string commit_key(int64_t version) {
  return fmt::format("{}{:020}.json", kLogFolder, version);
}

std::string checkpoint_key(int64_t version) {
  return fmt::format("{}{:020}.checkpoint.parquet", kLogFolder, version);
}

Result<Actions> read_commit(const TableContext& context, int64_t version) {
  auto content = context.store->get(commit_key(version));
  if (!content.has_value()) {
    if (content.error().code() != Code::not_found) return std::move(content).error();
    return Error(Code::not_found,
                 "the Delta log has no version {}: it was cleaned up, or never was", version);
  }
  auto actions = parse_commit(*content);
  if (!actions.has_value()) return std::move(actions).error().context(commit_key(version));
  return actions;
}

namespace {

Result<SnapshotPtr> load_once(const TableContextPtr& context, std::optional<int64_t> version) {
  std::string start = listing_start(*context);
  Listing listing = TRY(list_log(*context, start));
  int64_t target = version.value_or(newest_version(listing));
  if (!start.empty() && (target < 0 || !covers(listing, target))) {
    listing = TRY(list_log(*context, ""));
    target = version.value_or(newest_version(listing));
  }
  int64_t newest = newest_version(listing);
  if (newest < 0)
    return Error(Code::not_found, "there is no Delta table at {}", context->store->path_of(""));
  if (target < 0 || target > newest) {
    return Error(Code::not_found, "there is no version {} of the Delta table", target)
        .with_hint(fmt::format("the newest is {}", newest));
  }
  return load_from(context, listing, target);
}

}  // namespace

Result<SnapshotPtr> load_snapshot(const TableContextPtr& context, std::optional<int64_t> version) {
  auto loaded = load_once(context, version);
  if (loaded.has_value() || loaded.error().code() == Code::unsupported) return loaded;
  // Perhaps a clean-up, ours or another engine's, took what the listing named.
  return load_once(context, version);
}

Result<SnapshotPtr> follow(const SnapshotPtr& base) {
  std::unique_ptr<Replay> replay;
  for (int64_t version = base->version() + 1;; ++version) {
    auto actions = read_commit(*base->context(), version);
    if (!actions.has_value()) {
      if (actions.error().code() != Code::not_found) return std::move(actions).error();
      // Not the end, but cleaned up by another engine: what follows stands in its checkpoint.
      if (TRY(last_checkpoint(*base->context())) >= version) {
        return load_snapshot(base->context(), std::nullopt);
      }
      break;
    }
    if (!replay) replay = std::make_unique<Replay>(*base);
    TRY(replay->apply(std::move(*actions), version));
  }
  if (!replay) return base;
  return replay->finish();
}

}  // namespace ziwa::lake
