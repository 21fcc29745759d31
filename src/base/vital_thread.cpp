#include "base/vital_thread.h"

#include "base/log.h"

#include <cstdlib>
#include <exception>

namespace ziwa {

namespace {

[[noreturn]] void stop_with(std::string_view name, std::string_view what) {
  log_error("base", "a thread that the server needs threw: the server stops, restart to recover",
            "thread={} error={}", name, what);
  std::abort();
}

}  // namespace

void run_vital_thread(std::string_view name, const std::function<void()>& body) {
  try {
    body();
  } catch (const std::exception& error) {
    stop_with(name, error.what());
  } catch (...) {
    stop_with(name, "unknown");
  }
}

}  // namespace ziwa
