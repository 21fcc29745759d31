#include "app/sql_client.h"
#include "base/text.h"

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <histedit.h>
#include <unistd.h>

namespace ziwa::app {
namespace {

constexpr int kHistorySize = 5'000;
constexpr std::string_view kHelp =
    R"(  statements end with ;      Ctrl-C stops a running one, or forgets the line
  \d            topics, tables and views
  \d NAME       columns of one
  \timing       time after each answer, on and off
  \q, Ctrl-D    leave
)";
constexpr std::string_view kListSql =
    "SELECT table_schema AS schema, table_name AS name, table_type AS type FROM "
    "information_schema.tables "
    "WHERE table_schema NOT IN ('information_schema', 'pg_catalog') ORDER BY ALL;";

std::atomic<SqlClient*> g_running = nullptr;
std::atomic<bool> g_interrupted = false;
bool g_continued = false;  // The prompt of a statement's later lines.

void on_interrupt(int) {
  g_interrupted = true;
  if (SqlClient* client = g_running) client->interrupt();
}

const char* prompt(EditLine*) { return g_continued ? "   -> " : "ziwa> "; }

std::string history_file() {
  const char* state = std::getenv("XDG_STATE_HOME");
  const char* home = std::getenv("HOME");
  if (state == nullptr && home == nullptr) return {};
  std::filesystem::path folder = state != nullptr
                                     ? std::filesystem::path(state) / "ziwa"
                                     : std::filesystem::path(home) / ".local/state/ziwa";
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  return error ? std::string() : (folder / "sql_history").string();
}

/// Line editing with history kept between sessions.
class LineEditor {
 public:
  LineEditor()
      : edit_(el_init("ziwa", stdin, stdout, stderr)),
        history_(history_init()),
        file_(history_file()) {
    el_set(edit_, EL_PROMPT, prompt);
    el_set(edit_, EL_EDITOR, "emacs");
    el_set(edit_, EL_SIGNAL, 0);
    el_set(edit_, EL_HIST, history, history_);
    HistEvent event;
    history(history_, &event, H_SETSIZE, kHistorySize);
    history(history_, &event, H_SETUNIQUE, 1);
    if (!file_.empty()) history(history_, &event, H_LOAD, file_.c_str());
  }
  ~LineEditor() {
    HistEvent event;
    if (!file_.empty()) history(history_, &event, H_SAVE, file_.c_str());
    history_end(history_);
    el_end(edit_);
  }
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;
  /// False at the end of the input; an interrupted line is empty.
  bool read(std::string& line) {
    int count = 0;
    const char* text = el_gets(edit_, &count);
    line = text != nullptr && count > 0 ? std::string(text, static_cast<size_t>(count))
                                        : std::string();
    return !line.empty() || g_interrupted;
  }
  void remember(const std::string& statement) {
    HistEvent event;
    history(history_, &event, H_ENTER, statement.c_str());
  }

 private:
  EditLine* edit_;
  History* history_;
  std::string file_;
};

std::string trimmed(std::string text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) text.pop_back();
  size_t begin = 0;
  while (begin < text.size() && std::isspace(static_cast<unsigned char>(text[begin]))) ++begin;
  return text.substr(begin);
}

void run_statement(SqlClient& client, SqlPrinter& printer, const std::string& sql) {
  g_interrupted = false;
  g_running = &client;
  auto status = printer.run(client, sql);
  g_running = nullptr;
  if (!status) fmt::print("{}", pointed_error(status.error(), sql));
}

/// Commands that begin with a backslash. False to leave.
bool run_backslash(SqlClient& client, SqlPrinter& printer, const std::string& command) {
  if (command == "\\q") return false;
  if (command == "\\d" || command == "\\dt") {
    run_statement(client, printer, std::string(kListSql));
  } else if (command.starts_with("\\d ")) {
    std::string name = trimmed(command.substr(3));
    size_t dot = name.find('.');
    std::string quoted = dot == std::string::npos ? quote_name(name)
                                                  : quote_name(name.substr(0, dot)) + "." +
                                                        quote_name(name.substr(dot + 1));
    run_statement(client, printer, "DESCRIBE " + quoted + ";");
  } else if (command == "\\timing") {
    printer.set_timing(!printer.timing());
    fmt::print("timing is {}\n", printer.timing() ? "on" : "off");
  } else {
    fmt::print("{}", kHelp);
  }
  return true;
}

}  // namespace

int run_sql_shell(SqlClient& client, SqlPrinter& printer) {
  struct sigaction action{};
  action.sa_handler = on_interrupt;
  sigaction(SIGINT, &action, nullptr);
  LineEditor editor;
  fmt::print("Ziwa. Statements end with a semicolon; \\? for help, \\q to leave.\n");
  std::string statement;
  std::string line;
  while (editor.read(line)) {
    if (g_interrupted.exchange(false)) {
      fmt::print("\n");
      statement.clear();
      g_continued = false;
      continue;
    }
    std::string text = trimmed(line);
    if (statement.empty() && text.starts_with('\\')) {
      editor.remember(text);
      if (!run_backslash(client, printer, text)) return kExitOk;
      continue;
    }
    if (statement.empty() && text.empty()) continue;
    statement += line;
    g_continued = !statement_complete(statement);
    if (g_continued) continue;
    statement = trimmed(statement);
    editor.remember(statement);
    run_statement(client, printer, statement);
    statement.clear();
  }
  fmt::print("\n");
  return kExitOk;
}

}  // namespace ziwa::app
