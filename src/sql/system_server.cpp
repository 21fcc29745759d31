#include "sql/system_tables_internal.h"

#include <charconv>

namespace ziwa::sql {
namespace {

using duckdb::Value;

std::string_view type_of(SettingType type) {
  switch (type) {
    case SettingType::integer:
      return "integer";
    case SettingType::bytes:
      return "bytes";
    case SettingType::duration_ms:
      return "duration";
    case SettingType::boolean:
      return "boolean";
    case SettingType::text:
      return "text";
    case SettingType::choice:
      return "choice";
  }
  return "";
}

Result<SystemRows> setting_rows(const SystemContext& context) {
  const Settings& settings = context.core.deps.settings;
  SystemRows rows;
  for (const SettingSpec& spec : Settings::specs()) {
    rows.push_back({text_value(spec.name), text_value(settings.text(spec.name)),
                    text_value(settings.source(spec.name)), text_value(type_of(spec.type)),
                    text_value(spec.default_value), text_value(spec.help)});
  }
  return rows;
}

/// `name{labels} value` of the Prometheus text format.
std::optional<std::vector<Value>> metric_row(std::string_view line) {
  if (line.empty() || line[0] == '#') return std::nullopt;
  size_t space = line.rfind(' ');
  if (space == std::string_view::npos) return std::nullopt;
  std::string_view name = line.substr(0, space);
  std::string_view labels;
  if (size_t brace = name.find('{'); brace != std::string_view::npos) {
    labels = name.substr(brace + 1, name.size() - brace - 2);
    name = name.substr(0, brace);
  }
  double number = 0;
  std::string_view text = line.substr(space + 1);
  std::from_chars(text.data(), text.data() + text.size(), number);
  return std::vector<Value>{text_value(name), text_value(labels), Value::DOUBLE(number)};
}

Result<SystemRows> metric_rows(const SystemContext& context) {
  std::string text = context.core.deps.metrics.render();
  SystemRows rows;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = std::min(text.find('\n', begin), text.size());
    if (auto row = metric_row(std::string_view(text).substr(begin, end - begin)))
      rows.push_back(std::move(*row));
    begin = end + 1;
  }
  return rows;
}

Result<SystemRows> session_rows(const SystemContext& context) {
  SystemRows rows;
  for (const auto& [id, opened] : context.core.sessions())
    rows.push_back({big(id), time_value(opened)});
  return rows;
}

Result<SystemRows> statement_rows(const SystemContext& context) {
  SystemRows rows;
  for (const StatementRecord& record : context.core.statements()) {
    bool running = record.duration_us < 0;
    rows.push_back({big(record.session), text_value(record.text), time_value(record.started),
                    running ? Value(duckdb::LogicalType::DOUBLE)
                            : Value::DOUBLE(static_cast<double>(record.duration_us) / 1000),
                    text_value(running                ? "running"
                               : record.error.empty() ? "done"
                                                      : "failed"),
                    optional_text(record.error)});
  }
  return rows;
}

Result<SystemRows> epoch_rows(const SystemContext& context) {
  const auto& deps = context.core.deps;
  return SystemRows{{big(context.published.epoch.value), big(deps.journal.durable().value),
                     time_value(deps.journal.last_time()),
                     big(context.published.catalog ? context.published.catalog->version() : 0),
                     big(context.core.pins.count())}};
}

}  // namespace

SystemTable settings_table() {
  return rows_table("settings",
                    make_system_schema({{"name", "VARCHAR"},
                                        {"value", "VARCHAR"},
                                        {"source", "VARCHAR"},
                                        {"type", "VARCHAR"},
                                        {"default_value", "VARCHAR"},
                                        {"help", "VARCHAR"}}),
                    setting_rows);
}

SystemTable metrics_table() {
  return rows_table(
      "metrics",
      make_system_schema({{"name", "VARCHAR"}, {"labels", "VARCHAR"}, {"value", "DOUBLE"}}),
      metric_rows);
}

SystemTable sessions_table() {
  return rows_table("sessions", make_system_schema({{"id", "BIGINT"}, {"opened", "TIMESTAMP"}}),
                    session_rows);
}

SystemTable statements_table() {
  return rows_table("statements",
                    make_system_schema({{"session", "BIGINT"},
                                        {"sql", "VARCHAR"},
                                        {"started", "TIMESTAMP"},
                                        {"duration_ms", "DOUBLE"},
                                        {"state", "VARCHAR"},
                                        {"error", "VARCHAR"}}),
                    statement_rows);
}

SystemTable epoch_table() {
  return rows_table("epoch",
                    make_system_schema({{"epoch", "BIGINT"},
                                        {"journal", "BIGINT"},
                                        {"journal_time", "TIMESTAMP"},
                                        {"catalog_version", "BIGINT"},
                                        {"pins", "BIGINT"}}),
                    epoch_rows);
}

}  // namespace ziwa::sql
