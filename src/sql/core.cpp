#include "sql/core.h"

#include <algorithm>

namespace ziwa::sql {

Status Core::wait_for(Epoch epoch, const std::atomic<bool>& cancelled, int64_t timeout_ms) {
  constexpr int64_t kSliceMs = 50;  // how long a cancel may go unnoticed
  int64_t left_ms = timeout_ms;
  while (true) {
    stream::PublishedPtr published = deps.engine.published();
    if (published && published->epoch >= epoch) return {};
    if (cancelled) return Error(Code::cancelled, "cancelled while waiting for epoch {}", epoch);
    int64_t slice_ms = std::min(kSliceMs, left_ms);
    Status waited = deps.engine.wait(epoch, slice_ms);
    if (waited) return {};
    if (waited.error().code() != Code::unavailable) return waited;
    left_ms -= slice_ms;
    if (left_ms > 0) continue;
    return Error(Code::unavailable, "epoch {} is not readable after {} ms; readers are at {}",
                 epoch, timeout_ms, published ? published->epoch : Epoch())
        .with_hint("SELECT * FROM ziwa.views shows whether a view is behind or failed");
  }
}

void Core::wrote(EntryNumber entry) {
  uint64_t before = must_see_.load(std::memory_order_relaxed);
  while (before < entry.value &&
         !must_see_.compare_exchange_weak(before, entry.value, std::memory_order_release)) {
  }
}

uint64_t Core::statement_started(uint64_t session, std::string_view text) {
  StatementRecord record{.session = session,
                         .text = std::string(text.substr(0, kStatementRecordBytesMax)),
                         .started = deps.clock.now(),
                         .error = {}};
  std::lock_guard lock(mutex_);
  uint64_t id = next_statement_++;
  statements_.emplace(id, std::move(record));
  if (statements_.size() > kStatementRecordsMax) statements_.erase(statements_.begin());
  return id;
}

void Core::statement_ended(uint64_t statement, int64_t duration_us, const std::string& error) {
  std::lock_guard lock(mutex_);
  auto found = statements_.find(statement);
  if (found == statements_.end()) return;
  found->second.duration_us = duration_us;
  found->second.error = error;
}

std::vector<StatementRecord> Core::statements() const {
  std::lock_guard lock(mutex_);
  std::vector<StatementRecord> all;
  for (const auto& [id, record] : statements_) all.push_back(record);
  return all;
}

void Core::session_opened(uint64_t session) {
  std::lock_guard lock(mutex_);
  sessions_.emplace(session, deps.clock.now());
}

void Core::session_closed(uint64_t session) {
  std::lock_guard lock(mutex_);
  sessions_.erase(session);
}

std::vector<std::pair<uint64_t, TimestampMs>> Core::sessions() const {
  std::lock_guard lock(mutex_);
  return {sessions_.begin(), sessions_.end()};
}

void Core::set_consumer_groups(Database::ConsumerGroups source) {
  std::lock_guard lock(mutex_);
  consumer_groups_ = std::move(source);
}

Result<std::vector<ConsumerGroupOffset>> Core::consumer_groups() const {
  Database::ConsumerGroups source;
  {
    std::lock_guard lock(mutex_);
    source = consumer_groups_;
  }
  if (!source) return std::vector<ConsumerGroupOffset>();
  return source();
}

}  // namespace ziwa::sql
