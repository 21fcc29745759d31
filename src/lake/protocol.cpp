#include "lake/protocol_internal.h"

#include <algorithm>

namespace ziwa::lake {
namespace {

constexpr int32_t kReaderMax = 3;
constexpr int32_t kWriterMax = 7;

std::string property(const Metadata& metadata, const std::string& name) {
  auto found = metadata.configuration.find(name);
  return found == metadata.configuration.end() ? "" : found->second;
}

bool is_true(const Metadata& metadata, const std::string& name) {
  return property(metadata, name) == "true";
}

Error feature(std::string_view verb, std::string_view name) {
  return Error(Code::unsupported, "the Delta table uses the feature {}, which cannot be {} yet",
               name, verb);
}

bool maps_columns(const Metadata& metadata) {
  std::string mode = property(metadata, "delta.columnMapping.mode");
  return !mode.empty() && mode != "none";
}

/// What a schema says that a writer must obey.
std::optional<std::string> schema_obligation(const Metadata& metadata) {
  for (const char* key :
       {"delta.invariants", "delta.generationExpression", "delta.identity.start"}) {
    if (metadata.schema_string.find(key) != std::string::npos) return key;
  }
  return std::nullopt;
}

bool has_check_constraint(const Metadata& metadata) {
  return std::any_of(
      metadata.configuration.begin(), metadata.configuration.end(),
      [](const auto& entry) { return entry.first.starts_with("delta.constraints."); });
}

/// Features that ask nothing of an appending writer beyond what check_writable looks at itself.
bool writer_feature_known(const std::string& name) {
  constexpr std::string_view kKnown[] = {"appendOnly",       "invariants",    "checkConstraints",
                                         "generatedColumns", "columnMapping", "identityColumns",
                                         "changeDataFeed",   "timestampNtz",  "vacuumProtocolCheck",
                                         "deletionVectors"};
  return std::find(std::begin(kKnown), std::end(kKnown), name) != std::end(kKnown);
}

}  // namespace

Status check_readable(const Protocol& protocol, const Metadata& metadata) {
  if (protocol.min_reader > kReaderMax) {
    return Error(Code::unsupported, "the Delta table asks for reader version {}, this is {}",
                 protocol.min_reader, kReaderMax);
  }
  for (const std::string& name : protocol.reader_features) {
    // columnMapping and deletionVectors are only a permission: whether they are used is looked at
    // elsewhere.
    if (name == "timestampNtz" || name == "columnMapping" || name == "deletionVectors" ||
        name == "v2Checkpoint" || name == "vacuumProtocolCheck") {
      continue;
    }
    return feature("read", name);
  }
  if (maps_columns(metadata)) return feature("read", "columnMapping");
  if (metadata.provider != "parquet") {
    return Error(Code::unsupported, "the Delta table holds {} files, only Parquet can be read",
                 metadata.provider);
  }
  return {};
}

Status check_writable(const Protocol& protocol, const Metadata& metadata, bool removes) {
  TRY(check_readable(protocol, metadata));
  if (protocol.min_writer > kWriterMax) {
    return Error(Code::unsupported, "the Delta table asks for writer version {}, this is {}",
                 protocol.min_writer, kWriterMax);
  }
  for (const std::string& name : protocol.writer_features) {
    if (!writer_feature_known(name)) return feature("written", name);
  }
  if (auto obligation = schema_obligation(metadata)) return feature("written", *obligation);
  if (has_check_constraint(metadata)) return feature("written", "checkConstraints");
  if (!removes) return {};
  if (is_true(metadata, "delta.appendOnly")) {
    return Error(Code::conflict,
                 "the Delta table is append-only (delta.appendOnly), so no row can be taken away");
  }
  if (is_true(metadata, "delta.enableChangeDataFeed")) return feature("written", "changeDataFeed");
  return {};
}

Protocol protocol_for(bool has_timestamp_without_zone) {
  if (!has_timestamp_without_zone) return {};
  return {.min_reader = 3,
          .min_writer = 7,
          .reader_features = {"timestampNtz"},
          .writer_features = {"appendOnly", "invariants", "timestampNtz"}};
}

}  // namespace ziwa::lake
