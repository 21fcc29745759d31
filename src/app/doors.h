#pragma once

#include "app/engines.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace ziwa::app {

/// Where a door listens, or why it does not.
struct DoorStatus {
  std::string name;  ///< kafka, postgres, http
  std::string address;
  uint16_t port = 0;    ///< 0: blocked.
  std::string blocked;  ///< Why, and the --set that avoids it.
  size_t connections = 0;
};

/// The doors of a server, on one io thread, with the pool that runs SQL for them.
class Doors {
 public:
  using RenderStatus = std::function<std::string(const std::vector<DoorStatus>&)>;
  /// Opens every door it can; one that is blocked says so in status(). `render_status` gives the
  /// body of /status. Errors: permission (an address off loopback), invalid_argument.
  static Result<std::unique_ptr<Doors>> open(Engines& engines, Metrics& metrics, const Clock& clock,
                                             const Settings& settings, RenderStatus render_status);
  virtual ~Doors() = default;
  /// Any thread.
  virtual std::vector<DoorStatus> status() const = 0;
  /// Stops listening, ends what runs, waits at most server.shutdown.timeout for connections to go.
  /// False: a statement still runs and cannot be ended; the doors must then stay as they are until
  /// the process ends. Blocks.
  virtual bool stop() = 0;
};

/// "0.1.0".
std::string_view program_version();
/// The version that drivers of Postgres choose their queries by: "15.0 (Ziwa 0.1.0)".
std::string postgres_version();

}  // namespace ziwa::app
