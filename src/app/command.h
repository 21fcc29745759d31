#pragma once

#include "base/result.h"

#include <CLI/CLI.hpp>

#include <functional>
#include <string>

// What every command of the program shares. Exit codes: docs/cli.md.
namespace ziwa::app {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;       ///< The command was understood and failed.
inline constexpr int kExitUsage = 2;        ///< The command line is wrong.
inline constexpr int kExitUnreachable = 3;  ///< No server answers.
inline constexpr int kExitInterrupted = 130;

/// Set by the parsed command; main() runs it.
using Run = std::function<int()>;

/// Prints an error on stderr (as JSON when `json`) and gives the exit code for it.
int report_error(const Error& error, bool json);

/// Each adds its command to `app` and sets `run` when it was chosen.
void add_up(CLI::App& app, Run& run);
void add_sql(CLI::App& app, Run& run);
void add_project(CLI::App& app, Run& run);
void add_status(CLI::App& app, Run& run);
void add_produce(CLI::App& app, Run& run);
void add_consume(CLI::App& app, Run& run);
void add_version(CLI::App& app, Run& run);

}  // namespace ziwa::app
