#include "app/command.h"
#include "app/doors.h"
#include "base/settings.h"

#include <algorithm>
#include <clocale>
#include <exception>
#include <string_view>

namespace {

/// CLI11 speaks of what is missing first, and of words that nobody expects in their opposite order.
ziwa::Error usage_error(const CLI::App& app, const CLI::ParseError& error) {
  auto wrong = [](const std::string& what) {
    return ziwa::Error(ziwa::Code::invalid_argument, "{}", what);
  };
  const auto unknown = app.remaining(true);
  const bool speaks = error.get_exit_code() == static_cast<int>(CLI::ExitCodes::RequiredError) ||
                      error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ExtrasError);
  if (unknown.empty() || !speaks) return wrong(error.what());
  const auto chosen = app.get_subcommands();
  const CLI::App& command = chosen.empty() ? app : *chosen.front();
  const std::string& word = unknown.front();
  const bool option = word.size() > 1 && word.starts_with('-');
  std::vector<std::string> names;
  if (option) {
    for (const auto* known : command.get_options()) {
      for (const auto& name : known->get_lnames()) names.push_back("--" + name);
    }
  } else if (chosen.empty()) {
    for (const auto* known : app.get_subcommands({})) names.push_back(known->get_name());
  }
  const std::string nearest = ziwa::nearest_name(word, names);
  const std::string hint = nearest.empty() ? "" : fmt::format("did you mean {}?", nearest);
  if (option) {
    const std::string of = chosen.empty() ? "ziwa" : "ziwa " + command.get_name();
    return wrong(fmt::format("unknown option \"{}\" of {}", word, of)).with_hint(hint);
  }
  if (chosen.empty()) return wrong(fmt::format("unknown command \"{}\"", word)).with_hint(hint);
  return wrong(fmt::format("ziwa {} does not take \"{}\"", command.get_name(), word));
}

}  // namespace

int main(int argc, char** argv) {
  using namespace ziwa::app;
  std::setlocale(LC_CTYPE, "C.UTF-8");  // Widths of characters in tables.
  CLI::App app("Ziwa: a data platform in one program");
  app.require_subcommand(1);
  Run run;
  add_up(app, run);
  add_project(app, run);
  add_sql(app, run);
  add_produce(app, run);
  add_consume(app, run);
  add_status(app, run);
  add_version(app, run);
  app.set_version_flag("--version", std::string(program_version()));
  const bool json = std::any_of(argv, argv + argc,
                                [](std::string_view argument) { return argument == "--json"; });
  try {
    app.parse(argc, argv);
    const int code = run();
    // What was printed may not have reached anybody: a full disk shows here.
    const bool written = std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
    if (code != kExitOk || written) return code;
    return report_error(ziwa::Error(ziwa::Code::io, "standard output could not be written"), json);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    const ziwa::Error wrong = usage_error(app, error);
    const std::string hint = wrong.hint().empty() ? "" : "\n" + wrong.hint();
    if (!json) app.exit(CLI::Error(error.get_name(), wrong.message() + hint));
    if (json) report_error(wrong, true);
    return kExitUsage;
  } catch (const std::exception& error) {
    return report_error(ziwa::Error(ziwa::Code::internal, "{}", error.what()), json);
  }
}
