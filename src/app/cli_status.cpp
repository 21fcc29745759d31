#include "app/command.h"
#include "app/doors.h"
#include "app/http_get.h"
#include "app/text_table.h"
#include "base/json_depth.h"

#include <nlohmann/json.hpp>

#include <charconv>
#include <cstdio>
#include <unistd.h>

namespace ziwa::app {
namespace {

using nlohmann::json;

struct StatusOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 8080;
  std::string url;  ///< Instead of both.
  bool json = false;
};

std::string text_of(const json& value) {
  if (value.is_null()) return "";
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_unsigned()) return with_separators(value.get<uint64_t>());
  if (value.is_number_float()) return with_separators(static_cast<uint64_t>(value.get<double>()));
  return value.dump();
}

/// One list of the report as a table with these fields; nothing when it is empty.
void print_list(const json& report, const std::string& list,
                const std::vector<std::string>& fields) {
  const auto rows = report.value(list, json::array());
  if (rows.empty()) return;
  std::vector<TextTable::Column> columns;
  for (const auto& field : fields) {
    bool number = rows[0].contains(field) && rows[0][field].is_number();
    columns.push_back({.name = field, .right = number});
  }
  TextTable table(std::move(columns));
  for (const auto& row : rows) {
    std::vector<std::optional<std::string>> cells;
    for (const auto& field : fields) {
      bool plain = field == "port" && row.contains(field);
      cells.emplace_back(plain ? row[field].dump() : text_of(row.value(field, json())));
    }
    table.add(cells);
  }
  fmt::print("{}\n{}", list, table.draw(isatty(STDOUT_FILENO) == 1));
}

/// Host and port of http://host:port, as `ziwa up` prints it. Errors: invalid_argument.
Status take_url(StatusOptions& options) {
  constexpr std::string_view kScheme = "http://";
  std::string_view rest = options.url;
  const bool http = rest.starts_with(kScheme);
  if (http) rest.remove_prefix(kScheme.size());
  if (rest.ends_with('/')) rest.remove_suffix(1);
  const size_t colon = rest.rfind(':');
  std::string_view host = rest.substr(0, colon);
  std::string_view port = colon == std::string_view::npos ? "" : rest.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), options.port);
  const bool number = error == std::errc() && end == port.data() + port.size();
  if (!http || host.empty() || !number || host.find('/') != std::string_view::npos) {
    return Error(Code::invalid_argument, "--url takes http://host:port, not \"{}\"", options.url)
        .with_hint("the address of the HTTP door, as ziwa up prints it");
  }
  options.host = host;
  return {};
}

int run_status(StatusOptions options) {
  if (auto taken = options.url.empty() ? Status() : take_url(options); !taken) {
    report_error(taken.error(), options.json);
    return kExitUsage;
  }
  auto body = http_get(options.host, options.port, "/status");
  if (!body) return report_error(body.error(), options.json);
  if (options.json) {
    fmt::print("{}", *body);
    return kExitOk;
  }
  json report;
  if (!json_nests_deeper(*body)) report = json::parse(*body, nullptr, false);
  if (!report.is_object())
    return report_error(Error(Code::unavailable, "the answer is not a status report"), false);
  fmt::print("Ziwa {} on {}, up {} s, epoch {}, lag {}, {} records/s in\n",
             text_of(report["version"]), text_of(report["data"]), report["uptime_s"].dump(),
             report["epoch"].dump(), report["lag"].dump(), text_of(report["records_per_s"]));
  print_list(report, "doors", {"name", "address", "port", "blocked"});
  print_list(report, "topics", {"name", "partitions", "records", "bytes"});
  print_list(report, "views", {"name", "state", "rows", "lag", "late_rows", "error"});
  print_list(report, "sinks", {"name", "state", "rows", "version", "lag", "error"});
  return kExitOk;
}

int run_version(bool as_json) {
  if (as_json) {
    fmt::print("{}\n", json({{"version", program_version()}, {"data_format", kDataFormat}}).dump());
  } else {
    fmt::print("ziwa {}\n", program_version());
  }
  return kExitOk;
}

}  // namespace

void add_status(CLI::App& app, Run& run) {
  auto options = std::make_shared<StatusOptions>();
  auto* command =
      app.add_subcommand("status", "Show doors, topics, views and sinks of a running server");
  command->add_option("--host", options->host, "Host of the HTTP door")->capture_default_str();
  command->add_option("--port", options->port, "Port of the HTTP door")->capture_default_str();
  command->add_option("--url", options->url, "http://host:port, instead of --host and --port");
  command->add_flag("--json", options->json, "The report as JSON");
  command->callback([options, &run] { run = [options] { return run_status(*options); }; });
}

void add_version(CLI::App& app, Run& run) {
  auto as_json = std::make_shared<bool>(false);
  auto* command = app.add_subcommand("version", "Print the version");
  command->add_flag("--json", *as_json, "As JSON");
  command->callback([as_json, &run] { run = [as_json] { return run_version(*as_json); }; });
}

}  // namespace ziwa::app
