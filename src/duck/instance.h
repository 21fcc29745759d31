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
    std::string temp_directory;   ///< For spilling; empty: none.
    uint64_t temp_bytes_max = 0;  ///< Bytes spilt at once; 0: what DuckDB thinks.
    std::vector<std::string>
        allowed_directories;    ///< What file functions, COPY and ATTACH may touch.
    std::string own_directory;  ///< What statements of users never touch, also where it lies in an
                                ///< allowed directory; empty: none.
  };
  static Result<std::unique_ptr<Instance>> open(FileSystem& fs, Options options);
  ~Instance();
  duckdb::DuckDB& database();
  /// A new connection. ClientContexts are not thread-safe: one thread at a time.
  std::unique_ptr<duckdb::Connection> connect();
  /// As connect(), but its file access is not limited to the allowed directories: for files of
  /// ours, never for a statement of a user.
  std::unique_ptr<duckdb::Connection> connect_trusted();
  /// As connect(), for statements of users: they see the allowed directories only, not the own
  /// directory nor where others spill.
  std::unique_ptr<duckdb::Connection> connect_user();
  /// As connect_user(), but its statements read the files of `folder` too, and paths that are not
  /// absolute start there. They write no files.
  std::unique_ptr<duckdb::Connection> connect_within(const std::string& folder);
  /// The absolute path of what a statement of connect_within() calls `path`. Errors: permission
  /// when it lies, symbolic links resolved, neither in `folder` nor in an allowed directory, or in
  /// the own directory.
  Result<std::string> readable_path(const std::string& folder, const std::string& path);
  /// Why DuckDB refuses every statement from now on, after an error inside it; empty: it does not.
  /// Only a new process helps. Any thread.
  std::string failure() const;
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
/// As guarded(), for a `body` that returns a Result or Status itself: what it returns, or what it
/// throws. At the border of a module and at the bottom of a thread.
template <typename Body>
auto guarded_result(Body&& body) -> std::invoke_result_t<Body> {
  try {
    return body();
  } catch (...) {
    return current_exception_to_error();
  }
}

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
