// Commits, schemas, paths, statistics, partition values, lengths of time and names of files as
// another writer may have left them.
#include "base/bytes.h"
#include "lake/actions_internal.h"
#include "lake/delta_schema_internal.h"
#include "lake/log_internal.h"
#include "lake/partition_value_internal.h"
#include "lake/path_internal.h"
#include "lake/protocol_internal.h"
#include "lake/statistics_internal.h"
#include "lake/table_writer_internal.h"

#include <algorithm>

namespace ziwa::lake {
namespace {

void check_duration(const std::string& text) {
  constexpr int64_t kOtherwise = 77;
  const std::string name = "delta.logRetentionDuration";
  Metadata metadata;
  metadata.configuration[name] = text;
  auto ms = duration_property_ms(metadata, name, kOtherwise);
  if (!ms) {
    CHECK(ms.error().code() == Code::invalid_argument, "{}", ms.error().to_string());
    return;
  }
  CHECK(*ms >= 0);
  metadata.configuration[name] = fmt::format("interval {} milliseconds", *ms);
  auto again = duration_property_ms(metadata, name, kOtherwise);
  CHECK(again && *again == *ms, "{} ms of \"{}\" changed", *ms, text);
}

/// Lines are the names of files in the folder of the log: what cleaning up takes for expired never
/// holds what the table lives on.
void check_names(std::string_view text) {
  std::vector<std::string> keys;
  while (!text.empty()) {
    size_t line = std::min(text.find('\n'), text.size());
    keys.push_back(kLogFolder + std::string(text.substr(0, line)));
    text.remove_prefix(std::min(line + 1, text.size()));
  }
  std::ranges::sort(keys);
  keys.erase(std::ranges::unique(keys).begin(), keys.end());
  constexpr int64_t kNewest = std::numeric_limits<int64_t>::max();
  for (const auto& key : keys) {
    auto version = commit_of(key);
    CHECK(!version || commit_key(*version) == key, "{} is not the commit {}", key, *version);
    CHECK(!version || !is_covered(key, *version), "{} covers itself", key);
    CHECK(!is_our_data_file(key), "{} is of the log", key);
    CHECK(!is_covered(key, 0) || key.ends_with(".compacted.json"), "{} is older than all", key);
  }
  for (int64_t limit : {kNewest, int64_t{5}}) {
    auto checkpoint = newest_checkpoint(keys, limit);
    if (!checkpoint) continue;
    CHECK(checkpoint->version >= 0 && checkpoint->version <= limit);
    for (const auto& key : checkpoint->keys) {
      CHECK(std::ranges::binary_search(keys, key), "{} is not there", key);
      CHECK(!is_covered(key, checkpoint->version), "{} goes by itself", key);
    }
    auto same = newest_checkpoint(checkpoint->keys, limit);
    CHECK(same && same->keys == checkpoint->keys, "a checkpoint is no whole one alone");
  }
}

/// Only files that our writers name are taken for orphans.
void check_data_name(const std::string& text) {
  if (!is_our_data_file(text)) return;
  std::string name = text.substr(text.rfind('/') + 1);
  CHECK(is_our_data_file(name) && !text.starts_with(kLogFolder));
  std::ranges::replace(name, '-', '_');
  CHECK(!is_our_data_file(name));
}

}  // namespace
}  // namespace ziwa::lake

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ziwa;
  using namespace ziwa::lake;
  std::string text(reinterpret_cast<const char*>(data), size);
  auto actions = parse_commit(as_bytes(text));
  if (actions.has_value() && actions->metadata) {
    auto columns = parse_schema(*actions->metadata);
    if (columns.has_value())
      schema_to_string(columns->schema).ignore("duplicate names are possible");
    if (actions->protocol)
      check_readable(*actions->protocol, *actions->metadata).ignore("only that it returns");
  }
  Metadata metadata;
  metadata.schema_string = text;
  parse_schema(metadata).ignore("only that it returns");
  CHECK(decode_path(encode_path(text)) == text || text.starts_with("file:/"), "a path changed");
  // Bounds are only made of strings that DuckDB took.
  auto upper = duckdb::Value::StringIsValid(text) ? upper_bound_of(text) : std::nullopt;
  if (upper) CHECK(*upper >= text, "an upper bound is too low");
  rows_in_statistics(text);
  partition_value(text, duckdb::LogicalType::BLOB).ignore("only that it returns");
  partition_value(text, duckdb::LogicalType::TIMESTAMP_TZ).ignore("only that it returns");
  check_duration(text);
  check_names(text);
  check_data_name(text);
  return 0;
}
