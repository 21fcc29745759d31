#include "app/disorder.h"

namespace ziwa::app {
namespace {

/// SplitMix64: the same number for the same input on every machine, unlike the standard
/// distributions.
uint64_t mixed(uint64_t value) {
  value += 0x9E3779B97F4A7C15ull;
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9ull;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EBull;
  return value ^ (value >> 31);
}

/// From 0 to below 1.
double fraction(uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1.0p-53; }

}  // namespace

void Disorder::push(uint64_t number, int64_t time_us, uint32_t slot) {
  uint64_t bits = mixed(options_.seed * 0xD1342543DE82EF95ull + number);
  double delay = fraction(mixed(bits)) * static_cast<double>(options_.within_us);
  if (fraction(bits) < options_.late_fraction) {
    delay = (1 + fraction(mixed(~bits))) * static_cast<double>(options_.late_by_us);
  }
  held_.push({.send_us = time_us + static_cast<int64_t>(delay), .number = number, .slot = slot});
}

std::optional<uint32_t> Disorder::pop_before(int64_t time_us) {
  if (held_.empty() || held_.top().send_us >= time_us) return std::nullopt;
  return pop();
}

std::optional<uint32_t> Disorder::pop() {
  if (held_.empty()) return std::nullopt;
  uint32_t slot = held_.top().slot;
  held_.pop();
  return slot;
}

}  // namespace ziwa::app
