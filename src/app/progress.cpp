#include "app/progress.h"

#include "app/text_table.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdio>
#include <unistd.h>

namespace ziwa::app {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kTerminalEvery{200};
constexpr int kBarWidth = 24;

}  // namespace

Progress::Progress(std::string what, uint64_t total, bool quiet)
    : what_(std::move(what)),
      total_(total),
      quiet_(quiet),
      terminal_(isatty(STDERR_FILENO) == 1),
      start_(Clock::now()),
      drawn_(start_) {}

double Progress::seconds() const {
  return std::chrono::duration<double>(Clock::now() - start_).count();
}

void Progress::update(uint64_t done) {
  auto now = Clock::now();
  if (quiet_ || !terminal_ || now - drawn_ < kTerminalEvery) return;
  drawn_ = now;
  draw(done, false);
}

void Progress::finish(uint64_t done) {
  if (!quiet_) draw(done, true);
}

void Progress::draw(uint64_t done, bool last) {
  double elapsed = std::max(seconds(), 1e-9);
  double rate = static_cast<double>(done) / elapsed;
  std::string line = what_ + " ";
  if (total_ > 0) {
    double part = std::min(1.0, static_cast<double>(done) / static_cast<double>(total_));
    int full = static_cast<int>(part * kBarWidth);
    line += "[";
    for (int i = 0; i < kBarWidth; ++i) line += i < full ? "█" : "·";
    line += fmt::format("] {:3.0f}% ", part * 100);
  }
  line += fmt::format("{} rows, {} rows/s", with_separators(done),
                      with_separators(static_cast<uint64_t>(rate)));
  if (last) {
    line += fmt::format(", {:.1f} s", elapsed);
  } else if (total_ > done && rate > 0) {
    line += fmt::format(", {:.0f} s left", static_cast<double>(total_ - done) / rate);
  }
  if (terminal_) {
    fmt::print(stderr, "\r{}\033[K{}", line, last ? "\n" : "");
  } else {
    fmt::print(stderr, "{}\n", line);
  }
  std::fflush(stderr);
}

}  // namespace ziwa::app
