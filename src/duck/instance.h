#pragma once

#include "base/file.h"
#include "base/result.h"
#include "duck/duckdb.h"

#include <memory>
#include <string>

namespace ziwa::duck {

/// One DuckDB database in memory whose file access all goes through `fs` and is locked to
/// `allowed_directories` once lock() was called. Any thread.
class Instance {
 public:
  struct Options {
    uint64_t memory_bytes = 512u << 20;
    int threads = 1;
    std::string temp_directory;  ///< For spilling; empty: none.
    std::vector<std::string>
        allowed_directories;  ///< What file functions, COPY and ATTACH may touch.
  };
  static Result<std::unique_ptr<Instance>> open(FileSystem& fs, Options options);
  ~Instance();
  duckdb::DuckDB& database();
  /// A new connection. ClientContexts are not thread-safe: one thread at a time.
  std::unique_ptr<duckdb::Connection> connect();
  /// As connect(), but its file access is not limited to the allowed directories: for files of
  /// ours, never for a statement of a user.
  std::unique_ptr<duckdb::Connection> connect_trusted();
  /// The file layer everything goes through.
  FileSystem& files();
  /// From here on LOAD, INSTALL, engine settings and paths outside the allowed directories are
  /// refused by DuckDB.
  Status lock();

 private:
  Instance();
  struct State;
  std::unique_ptr<State> state_;
};

/// Turns DuckDB's exception (or error of a result) into ours: code by its type, byte position if it
/// has one. The error of a result has its position only drawn below the statement: pass `sql` to
/// get it back.
Error to_error(const duckdb::ErrorData& error, std::string_view sql = {});
/// Runs `body`, turning any DuckDB or std exception into an Error. Nothing thrown crosses a module
/// border.
template <typename Body>
auto guarded(Body&& body) -> Result<std::invoke_result_t<Body>>;
Error current_exception_to_error();

/// As declared above.
template <typename Body>
auto guarded(Body&& body) -> Result<std::invoke_result_t<Body>> {
  try {
    if constexpr (std::is_void_v<std::invoke_result_t<Body>>) {
      body();
      return {};
    } else {
      return body();
    }
  } catch (...) {
    return current_exception_to_error();
  }
}

}  // namespace ziwa::duck
