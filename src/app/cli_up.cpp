#include "app/command.h"
#include "app/server.h"
#include "base/log.h"

#include <nlohmann/json.hpp>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <thread>
#include <unistd.h>
#include <utility>

namespace ziwa::app {
namespace {

struct UpOptions {
  std::string program;
  std::string data;
  std::string project;
  std::vector<std::string> set;
  std::string config;
  bool allow_drop = false;
  bool strict = false;
  bool json = false;
};

/// Defaults, server.yaml, environment, --set: later ones win.
Status load_settings(Settings& settings, const UpOptions& options) {
  if (!options.config.empty()) {
    Bytes text = TRY(read_file(posix_file_system(), options.config, 1u << 20));
    TRY(settings.load_yaml(as_text(text), options.config));
  }
  std::map<std::string, std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    std::string_view text = *entry;
    size_t equals = text.find('=');
    if (equals != std::string_view::npos)
      environment.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  TRY(settings.load_environment(environment));
  for (const auto& pair : options.set) {
    size_t equals = pair.find('=');
    if (equals == std::string::npos)
      return Error(Code::invalid_argument, "--set takes name=value, not \"{}\"", pair);
    TRY(settings.set(pair.substr(0, equals), pair.substr(equals + 1), "--set"));
  }
  return {};
}

LogLevel level_of(const std::string& text) {
  if (text == "debug") return LogLevel::debug;
  if (text == "warn") return LogLevel::warn;
  return text == "error" ? LogLevel::error : LogLevel::info;
}

std::string door_address(const DoorStatus& door) {
  std::string address =
      door.address.find(':') == std::string::npos ? door.address : "[" + door.address + "]";
  return fmt::format("{}{}:{}", door.name == "http" ? "http://" : "", address, door.port);
}

void print_json(const std::vector<DoorStatus>& doors) {
  nlohmann::json blocked = nlohmann::json::object();
  for (const auto& door : doors) {
    if (!door.blocked.empty()) {
      blocked[door.name] = door.blocked;
      continue;
    }
    nlohmann::json line = {
        {"event", "door"}, {"door", door.name}, {"address", door.address}, {"port", door.port}};
    fmt::print("{}\n", line.dump());
  }
  fmt::print("{}\n", nlohmann::json({{"event", "ready"}, {"blocked", blocked}}).dump());
}

void print_text(const std::vector<DoorStatus>& doors) {
  std::string blocked;
  for (const auto& door : doors) {
    if (door.blocked.empty()) {
      fmt::print("{:<9} {}\n", door.name, door_address(door));
    } else {
      blocked += fmt::format("{}{}: {}", blocked.empty() ? " (" : "; ", door.name, door.blocked);
    }
  }
  fmt::print("ready{}\n", blocked.empty() ? "" : blocked + ")");
}

/// A command to try for each open door, for a person at a terminal. `program` as it was called.
void print_hints(const std::vector<DoorStatus>& doors, const std::string& program) {
  const char* label = "try";
  for (const auto& door : doors) {
    if (!door.blocked.empty()) continue;
    std::string command = fmt::format("curl {}/status", door_address(door));
    if (door.name == "kafka") command = fmt::format("kcat -b {} -L", door_address(door));
    if (door.name == "postgres") command = fmt::format("{} sql --port {}", program, door.port);
    fmt::print("  {:<5} {}\n", std::exchange(label, ""), command);
  }
}

/// Waits for Ctrl-C or SIGTERM; a second one while the server stops ends the process at once.
void wait_for_signal(const sigset_t& signals) {
  int signal = 0;
  sigwait(&signals, &signal);
  log_info("app", "stopping", "signal={}", signal);
  std::thread([signals] {
    int again = 0;
    sigwait(&signals, &again);
    _exit(kExitInterrupted);
  }).detach();
}

int run_up(const UpOptions& options) {
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGINT, SIGTERM}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // Before any thread, so that all inherit it.
  signal(SIGPIPE, SIG_IGN);

  Settings settings;
  if (auto loaded = load_settings(settings, options); !loaded) {
    report_error(loaded.error(), options.json);
    return kExitUsage;
  }
  if (options.data.empty()) {
    report_error(Error(Code::invalid_argument, "--data is empty"), options.json);
    return kExitUsage;
  }
  init_logging(level_of(settings.text("log.level")), settings.boolean("log.json"));
  // What is said of files must not depend on where the program was started.
  Server::Options server_options{
      .data_directory = std::filesystem::absolute(options.data).lexically_normal().string(),
      .allow_drop = options.allow_drop,
      .strict = options.strict,
      .on_failure = [] { kill(getpid(), SIGTERM); }};
  if (!options.project.empty()) {
    std::unique_ptr<char, decltype(&std::free)> path(realpath(options.project.c_str(), nullptr),
                                                     &std::free);
    if (!path) return report_error(errno_error(errno, options.project), options.json);
    server_options.project_directory = path.get();
  }
  auto server = Server::start(posix_file_system(), settings, server_options);
  if (!server) return report_error(server.error(), options.json);
  auto doors = (*server)->doors();
  if (options.json) {
    print_json(doors);
  } else {
    print_text(doors);
    if (isatty(STDOUT_FILENO) == 1) print_hints(doors, options.program);
  }
  std::fflush(stdout);
  wait_for_signal(signals);
  auto stopped = (*server)->stop();
  const int code = stopped ? kExitOk : report_error(stopped.error(), options.json);
  if ((*server)->left_running()) {
    std::fflush(nullptr);
    _exit(code);
  }
  return code;
}

}  // namespace

void add_up(CLI::App& app, Run& run) {
  auto options = std::make_shared<UpOptions>();
  auto* command = app.add_subcommand("up", "Start a server and keep it running");
  command->add_option("--data", options->data, "Data directory; made if it is not there")
      ->required();
  command->add_option("--project", options->project,
                      "Folder with ziwa.yaml and *.sql, applied at start");
  command->add_option("--set", options->set, "name=value: a setting; may be given again");
  command->add_option("--config", options->config, "server.yaml");
  command->add_flag("--allow-drop", options->allow_drop,
                    "Let the project drop what it no longer has");
  command->add_flag("--strict", options->strict, "A door that is blocked is an error");
  command->add_flag("--json", options->json, "Print addresses and ready as JSON lines");
  command->callback([options, &app, &run] {
    options->program = app.get_name();
    run = [options] { return run_up(*options); };
  });
}

}  // namespace ziwa::app
