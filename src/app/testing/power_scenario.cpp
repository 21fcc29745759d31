#include "app/testing/power_scenario.h"

#include <fmt/format.h>

#include <cctype>
#include <thread>

namespace ziwa::app::testing {
namespace {

constexpr int kStepsMax = 250;
constexpr size_t kThreads = 4;  // A scenario mostly waits for the threads of its own server.

}  // namespace

PowerScenario::PowerScenario(Options options) : world_(std::move(options)) {
  clients_.push_back({make_schema_client(), 20});
  clients_.push_back({make_event_client(), 24});
  clients_.push_back({make_insert_client(), 10});
  clients_.push_back({make_group_client(), 5});
  clients_.push_back({make_ddl_client(), 4});
  clients_.push_back({make_project_client(), 2});
  // They build on what was acknowledged before: sequences, open transactions, deleted records.
  if (!world_.keeps_records()) return;
  clients_.push_back({make_idempotent_client(), 10});
  clients_.push_back({make_retention_client(), 12});
  clients_.push_back({make_transaction_client(), 6});
}

Wrong PowerScenario::run(int cuts) {
  while (cuts_ < cuts) {
    if (auto wrong = life()) return fmt::format("after {} cuts: {}", cuts_, *wrong);
  }
  return std::nullopt;
}

Wrong PowerScenario::life() {
  if (world_.random(5) == 0) {  // The power goes while the server is still starting.
    world_.fs().die_after(1 + world_.random(120));
    if (world_.open() && !world_.fs().dead()) work();
    cut();
  }
  if (Status opened = world_.open(); !opened) {
    return "does not open: " + opened.error().to_string();
  }
  if (auto wrong = check()) return wrong;
  world_.fs().die_after(1 + world_.random(cuts_ == 0 ? 1'500 : 500));
  work();
  if (auto wrong = world_.problem()) return wrong;
  uint64_t end = world_.fs().dead() ? 0 : world_.random(4);
  if (end == 1) {  // A kill: what the page cache has stays.
    world_.fs().die_after(0);
    world_.kill();
    return std::nullopt;
  }
  if (end == 2) {
    if (Status stopped = world_.engines().stop(); !stopped) world_.refused("stop", stopped.error());
  }
  cut();
  return world_.problem();
}

void PowerScenario::cut() {
  world_.cut_power();
  ++cuts_;
}

Wrong PowerScenario::check() {
  EntryNumber end = world_.engines().journal().durable();
  auto followed = world_.engines().stream().wait(end, PowerWorld::kSettleMs);
  if (!followed) return "the views do not follow: " + followed.error().to_string();
  for (auto& [client, weight] : clients_) {
    if (auto wrong = client->check(world_)) return wrong;
  }
  return std::nullopt;
}

void PowerScenario::work() {
  for (auto& [client, weight] : clients_) client->started(world_);
  uint64_t steps = 1 + world_.random(kStepsMax);
  for (uint64_t step = 0; step < steps && !world_.fs().dead(); ++step) act();
}

void PowerScenario::act() {
  uint64_t lot = world_.random(100);
  for (auto& [client, weight] : clients_) {
    if (lot < weight) return client->act(world_);
    lot -= weight;
  }
  Status done;
  if (lot < 2) {
    done = world_.engines().stream().checkpoint();
  } else if (lot < 5) {
    done = world_.engines().maintain();
  } else {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  if (!done) world_.refused("housekeeping", done.error());
}

void in_parallel(size_t count, const std::function<bool(size_t)>& work) {
  std::atomic<size_t> next = 0;
  std::atomic<bool> enough = false;
  std::vector<std::thread> threads;
  for (size_t i = 0; i < std::min(kThreads, count); ++i) {
    threads.emplace_back([&] {
      for (size_t number = next++; number < count && !enough; number = next++) {
        if (work(number)) enough = true;
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

std::string kind_of_sync(const SyncCall& sync) {
  std::string kind = sync.of == SyncCall::Of::file        ? "file "
                     : sync.of == SyncCall::Of::directory ? "directory "
                                                          : "everything ";
  // A run of digits, or of hexadecimal digits with at least eight of them, is a name.
  const std::string& path = sync.path;
  auto hexadecimal = [](char c) {
    return std::isdigit(static_cast<unsigned char>(c)) != 0 || (c >= 'a' && c <= 'f') || c == '-';
  };
  for (size_t at = 0; at < path.size();) {
    size_t end = at;
    while (end < path.size() && hexadecimal(path[end])) ++end;
    bool digits = end > at;
    for (size_t i = at; i < end; ++i) digits = digits && std::isdigit(path[i]) != 0;
    if (digits || end - at >= 8) {
      kind += '#';
      at = end;
    } else {
      kind += path[at++];
    }
  }
  return kind;
}

}  // namespace ziwa::app::testing
