#include "app/command.h"
#include "app/sql_client.h"
#include "base/text.h"

#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <unistd.h>

namespace ziwa::app {
namespace {

struct SqlOptions {
  SqlAddress address;
  std::vector<std::string> commands;
  std::string file;
  bool json = false;
  bool csv = false;
  bool no_timing = false;
};

int fail(const Error& error, const std::string& sql, bool json) {
  if (!json) fmt::print(stderr, "{}: {}", code_name(error.code()), pointed_error(error, sql));
  if (json) return report_error(error, true);
  return error.code() == Code::unavailable ? kExitUnreachable : kExitFailed;
}

int run_sql(const SqlOptions& options) {
  auto client = SqlClient::connect(options.address);
  if (!client) return report_error(client.error(), options.json);
  SqlForm form = options.json ? SqlForm::json : options.csv ? SqlForm::csv : SqlForm::table;
  SqlPrinter printer(form, !options.no_timing);
  std::vector<std::string> texts = options.commands;
  if (!options.file.empty()) {
    std::ifstream input(options.file, std::ios::binary);
    if (!input) return report_error(errno_error(errno, options.file), options.json);
    texts.emplace_back(std::istreambuf_iterator<char>(input), std::istreambuf_iterator<char>());
  }
  if (texts.empty() && isatty(STDIN_FILENO) == 1) return run_sql_shell(**client, printer);
  if (texts.empty())
    texts.emplace_back(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>());
  for (const auto& text : texts) {
    if (auto status = printer.run(**client, text); !status)
      return fail(status.error(), text, options.json);
  }
  return kExitOk;
}

struct ProjectOptions {
  SqlAddress address;
  std::string project = ".";
  bool allow_drop = false;
  bool json = false;
};

/// ziwa.apply() and ziwa.diff() take the folder as the server sees it: an absolute path.
int run_project(const ProjectOptions& options, bool apply) {
  std::unique_ptr<char, decltype(&std::free)> path(realpath(options.project.c_str(), nullptr),
                                                   &std::free);
  if (!path) return report_error(errno_error(errno, options.project), options.json);
  std::string quoted = quote_text(path.get());
  std::string sql =
      apply ? "CALL ziwa.apply(" + quoted + (options.allow_drop ? ", 'allow_drop')" : ")")
            : "CALL ziwa.diff(" + quoted + ")";
  auto client = SqlClient::connect(options.address);
  if (!client) return report_error(client.error(), options.json);
  SqlPrinter printer(options.json ? SqlForm::json : SqlForm::table, true);
  auto status = printer.run(**client, sql);
  // The statement is ours: a caret into it would tell the user nothing.
  return status ? kExitOk : report_error(status.error(), options.json);
}

void add_project_command(CLI::App& app, Run& run, bool apply) {
  auto options = std::make_shared<ProjectOptions>();
  auto* command = apply
                      ? app.add_subcommand("apply", "Bring a running server to what a project says")
                      : app.add_subcommand("diff", "Show what apply would change");
  command->add_option("--project", options->project, "Folder with ziwa.yaml and *.sql")
      ->capture_default_str();
  add_sql_address(*command, options->address);
  if (apply)
    command->add_flag("--allow-drop", options->allow_drop,
                      "Also drop what the project no longer has");
  command->add_flag("--json", options->json, "One JSON object per change");
  command->callback(
      [options, apply, &run] { run = [options, apply] { return run_project(*options, apply); }; });
}

}  // namespace

void add_sql(CLI::App& app, Run& run) {
  auto options = std::make_shared<SqlOptions>();
  auto* command = app.add_subcommand("sql", "Run statements, or open a prompt");
  command->add_option("-c,--command", options->commands,
                      "Run this text and leave; may be given again");
  command->add_option("-f,--file", options->file, "Run the statements of a file");
  add_sql_address(*command, options->address);
  auto* json = command->add_flag("--json", options->json, "One JSON object per row");
  command->add_flag("--csv", options->csv, "CSV with a header")->excludes(json);
  command->add_flag("--no-timing", options->no_timing, "Do not print how long each statement took");
  command->callback([options, &run] { run = [options] { return run_sql(*options); }; });
}

void add_project(CLI::App& app, Run& run) {
  add_project_command(app, run, true);
  add_project_command(app, run, false);
}

}  // namespace ziwa::app
