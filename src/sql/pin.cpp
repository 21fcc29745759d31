#include "sql/pin.h"

namespace ziwa::sql {

Error pin_expired_error() {
  return Error(Code::unavailable,
               "the transaction is older than sql.pin.age.max; what it was reading was let go")
      .with_hint("end the transaction and read again");
}

Result<stream::PublishedPtr> Pin::published() const {
  std::lock_guard lock(mutex_);
  if (!published_) return pin_expired_error();
  return published_;
}

void Pin::expire() {
  stream::PublishedPtr gone;  // freed outside the lock: it may be large
  std::lock_guard lock(mutex_);
  gone.swap(published_);
  expired_ = true;
}

Result<PinPtr> Pins::take(stream::PublishedPtr published) {
  sweep();
  auto pin = std::make_shared<Pin>(std::move(published), clock_.monotonic_ns());
  std::lock_guard lock(mutex_);
  if (pins_.size() >= limits_.count_max) {
    return Error(Code::exhausted, "{} transactions are open, the most that can be", pins_.size());
  }
  pins_.push_back(pin);
  return pin;
}

void Pins::sweep() {
  int64_t oldest_ns = clock_.monotonic_ns() - limits_.age_max_ms * 1'000'000;
  std::vector<PinPtr> old;
  std::lock_guard lock(mutex_);
  std::erase_if(pins_, [&](const std::weak_ptr<Pin>& weak) {
    PinPtr pin = weak.lock();
    if (!pin) return true;
    if (pin->taken_ns_ >= oldest_ns) return false;
    pin->expire();
    return true;
  });
}

size_t Pins::count() const {
  std::lock_guard lock(mutex_);
  return pins_.size();
}

}  // namespace ziwa::sql
