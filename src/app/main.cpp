#include "app/command.h"
#include "app/doors.h"

#include <algorithm>
#include <clocale>
#include <exception>
#include <string_view>

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
    if (!json) app.exit(error);
    if (json) report_error(ziwa::Error(ziwa::Code::invalid_argument, "{}", error.what()), true);
    return kExitUsage;
  } catch (const std::exception& error) {
    return report_error(ziwa::Error(ziwa::Code::internal, "{}", error.what()), json);
  }
}
