#pragma once

#include <sys/resource.h>

namespace ziwa::stream::testing {

/// Of this process so far, in the program and in the kernel.
inline double cpu_seconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace ziwa::stream::testing
