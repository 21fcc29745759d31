#include "app/command.h"

#include <clocale>

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
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitOk : kExitUsage;
  }
  return run();
}
