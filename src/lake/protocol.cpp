#include "lake/protocol_internal.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <sstream>

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

/// Months and years have no length: Delta refuses them here too.
std::optional<int64_t> unit_ms(std::string_view unit) {
  constexpr std::pair<std::string_view, int64_t> kUnits[] = {
      {"week", 7 * kMsPerDay}, {"day", kMsPerDay}, {"hour", 3'600'000},
      {"minute", 60'000},      {"second", 1'000},  {"millisecond", 1}};
  if (unit.ends_with('s')) unit.remove_suffix(1);
  for (const auto& [name, ms] : kUnits) {
    if (name == unit) return ms;
  }
  return std::nullopt;
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

Result<int64_t> duration_property_ms(const Metadata& metadata, const std::string& name,
                                     int64_t otherwise) {
  std::string text = property(metadata, name);
  if (text.empty()) return otherwise;
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  std::istringstream words(text.starts_with("interval") ? text.substr(8) : text);
  int64_t total = 0;
  std::string count;
  std::string unit;
  bool any = false;
  while (words >> count) {
    int64_t number = 0;
    auto [end, failed] = std::from_chars(count.data(), count.data() + count.size(), number);
    bool fits = failed == std::errc() && end == count.data() + count.size() && number >= 0 &&
                static_cast<bool>(words >> unit);
    auto length = fits ? unit_ms(unit) : std::nullopt;
    int64_t part = 0;
    fits = length && !__builtin_mul_overflow(number, *length, &part) &&
           !__builtin_add_overflow(total, part, &total);
    if (!fits) break;
    any = true;
    count.clear();
  }
  if (any && count.empty()) return total;
  return Error(Code::invalid_argument, "the table property {} = \"{}\" is not a length of time",
               name, property(metadata, name));
}

bool flag_property(const Metadata& metadata, const std::string& name, bool otherwise) {
  const std::string text = property(metadata, name);
  return text == "true" || (text != "false" && otherwise);
}

Result<int64_t> deleted_file_retention_ms(const Metadata& metadata) {
  return duration_property_ms(metadata, "delta.deletedFileRetentionDuration", 7 * kMsPerDay);
}

Protocol protocol_for(bool has_timestamp_without_zone) {
  if (!has_timestamp_without_zone) return {};
  return {.min_reader = 3,
          .min_writer = 7,
          .reader_features = {"timestampNtz"},
          .writer_features = {"appendOnly", "invariants", "timestampNtz"}};
}

}  // namespace ziwa::lake
