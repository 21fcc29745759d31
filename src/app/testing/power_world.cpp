#include "app/testing/power_world.h"

#include <fmt/format.h>

#include <thread>

namespace ziwa::app::testing {

PowerWorld::PowerWorld(Options options)
    : flush_(std::move(options.flush)), fs_(options.seed), random_(options.seed) {
  fs_.set_clock(clock_);
  if (options.skip_sync) fs_.skip_syncs(std::move(options.skip_sync));
  for (auto [name, value] : {std::pair("log.flush", flush_.c_str()),
                             {"log.flush.interval", options.flush_interval.c_str()},
                             {"stream.checkpoint.interval", "10 ms"},
                             {"journal.segment.bytes", "4 KiB"},
                             {"state.cache.bytes", "1 MiB"},
                             {"state.write_buffer.bytes", "1 MiB"},
                             {"sql.read.timeout", "10 s"},  // Nobody follows once the power went.
                             {"sql.memory", "64 MiB"}}) {
    auto set = settings_.set(name, value, "test");
    CHECK(set.has_value(), "setting {}: {}", name, set.error().to_string());
  }
}

Status PowerWorld::open() {
  kill();
  engines_ =
      TRY(Engines::open({.fs = fs_, .clock = clock_, .metrics = metrics_, .settings = settings_},
                        {.data_directory = "/data"}));
  return {};
}

void PowerWorld::kill() {
  leaving_ = true;
  engines_.reset();
  leaving_ = false;
}

void PowerWorld::cut_power() {
  kill();
  fs_.cut_power();
}

Result<TextRows> PowerWorld::query(sql::Database& database, const std::string& sql) {
  auto session = TRY(database.session());
  auto rows = TRY(session->query(sql));
  TextRows out;
  while (auto* chunk = TRY(rows->next())) {
    for (size_t row = 0; row < chunk->size(); ++row) {
      std::vector<std::string> texts;
      for (size_t i = 0; i < chunk->ColumnCount(); ++i) {
        texts.push_back(chunk->GetValue(i, row).ToString());
      }
      out.push_back(std::move(texts));
    }
  }
  return out;
}

Status PowerWorld::run_in_session(const std::vector<std::string>& statements) {
  auto session = TRY(engines_->database().session());
  for (const auto& statement : statements) {
    auto rows = TRY(session->query(statement));
    while (TRY(rows->next()) != nullptr) {
    }
  }
  return {};
}

Result<TextRows> PowerWorld::read(const std::string& sql) {
  auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(kSettleMs);
  while (true) {
    auto rows = query(sql);
    // A view whose first checkpoint was not written yet is backfilled once more.
    bool later = !rows && rows.error().code() == Code::unavailable;
    if (!later || std::chrono::steady_clock::now() > end) return rows;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

catalog::ObjectPtr PowerWorld::find(const std::string& name) const {
  return engines_->catalog().snapshot()->find("public", name);
}

void PowerWorld::acknowledged(Promise promise, uint64_t count) {
  std::lock_guard lock(mutex_);
  promises_[promise] += count;
}

PromiseCounts PowerWorld::promises() const {
  std::lock_guard lock(mutex_);
  return promises_;
}

void PowerWorld::refused(const std::string& what, const Error& error) {
  // Asked after the error came: a machine that is on now was on then.
  if (fs_.dead() || leaving_) return;
  std::lock_guard lock(mutex_);
  if (!problem_) problem_ = fmt::format("{}: {}", what, error.to_string());
}

Wrong PowerWorld::problem() const {
  std::lock_guard lock(mutex_);
  return problem_;
}

void SentIds::attempt(const std::vector<int64_t>& ids) {
  std::lock_guard lock(mutex_);
  for (int64_t id : ids) sent_.emplace(id, false);
}

void SentIds::acknowledge(const std::vector<int64_t>& ids) {
  std::lock_guard lock(mutex_);
  for (int64_t id : ids) sent_[id] = true;
}

Wrong SentIds::check(const std::string& where, const Result<TextRows>& rows,
                     bool may_be_lost) const {
  if (!rows) return where + ": " + rows.error().to_string();
  std::lock_guard lock(mutex_);
  std::set<int64_t> found;
  for (const auto& row : *rows) {
    int64_t id = std::stoll(row[0]);
    if (!found.insert(id).second) return fmt::format("{}: {} twice", where, id);
    if (!sent_.contains(id)) return fmt::format("{}: {} was never sent", where, id);
  }
  for (auto [id, acknowledged] : sent_) {
    if (acknowledged && !may_be_lost && !found.contains(id)) {
      return fmt::format("{}: {} was acknowledged and is gone", where, id);
    }
  }
  return std::nullopt;
}

Wrong same_rows(const std::string& what, const Result<TextRows>& got,
                const Result<TextRows>& expected) {
  if (!got) return what + ": " + got.error().to_string();
  if (!expected) return what + ": " + expected.error().to_string();
  if (*got == *expected) return std::nullopt;
  auto text = [](const TextRows& rows) {
    std::string out = fmt::format("{} rows", rows.size());
    for (size_t i = 0; i < std::min<size_t>(rows.size(), 6); ++i) {
      out += fmt::format("{}({})", i == 0 ? ": " : " ", fmt::join(rows[i], ","));
    }
    return out;
  };
  return fmt::format("{}: got {}, expected {}", what, text(*got), text(*expected));
}

}  // namespace ziwa::app::testing
