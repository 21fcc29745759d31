#pragma once

#include "app/doors.h"
#include "app/engines.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace ziwa::app {

/// A running server: engines, housekeeping and doors. One per process in `ziwa up`; tests may run
/// several.
class Server {
 public:
  struct Options {
    std::string data_directory;
    std::string project_directory;  ///< Applied before the doors open; empty: none.
    bool allow_drop = false;
    bool strict = false;  ///< A blocked door is an error.
    /// Called once, on a thread of the server's, when only a new process helps: call stop(), which
    /// says why, from another.
    std::function<void()> on_failure = [] {};
  };
  /// Recovers, applies the project, opens the doors. Blocks. `settings` must outlive the server.
  /// Errors: those of Engines::open and of the project; already_exists (strict, and a door is
  /// blocked).
  static Result<std::unique_ptr<Server>> start(FileSystem& fs, const Settings& settings,
                                               const Options& options);
  virtual ~Server() = default;
  virtual std::vector<DoorStatus> doors() const = 0;
  virtual Engines& engines() = 0;
  /// The body of /status: docs/http.md.
  virtual std::string status_json() = 0;
  /// Closes the doors, then the engines, in order. Blocks. Idempotent.
  virtual Status stop() = 0;
  /// Has stop() left a statement running that could not be ended? What it uses still exists: the
  /// process must end without returning from main().
  virtual bool left_running() const = 0;
};

}  // namespace ziwa::app
