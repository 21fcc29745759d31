#pragma once

#include <functional>
#include <string_view>

namespace ziwa {

/// Runs `body`, the whole life of a thread without which the server cannot go on. When something is
/// thrown out of it, an ERROR line says which thread and what, and the process aborts: what
/// the thread was in the middle of is unknown, and the next start recovers as after a power cut.
void run_vital_thread(std::string_view name, const std::function<void()>& body);

}  // namespace ziwa
