// Commits, schemas, paths, statistics and partition values as another writer may have left them.
#include "base/bytes.h"
#include "lake/actions_internal.h"
#include "lake/delta_schema_internal.h"
#include "lake/partition_value_internal.h"
#include "lake/path_internal.h"
#include "lake/protocol_internal.h"
#include "lake/statistics_internal.h"

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
  return 0;
}
