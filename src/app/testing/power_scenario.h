#pragma once

#include "app/testing/power_clients.h"

#include <functional>
#include <memory>
#include <vector>

namespace ziwa::app::testing {

/// One server's life after another on one disk: clients of all kinds use it, it dies, and then it
/// must keep its promises. The server has its threads and its clock: a seed says where the power
/// goes and what the clients do, but not how far the server is then.
class PowerScenario {
 public:
  using Options = PowerWorld::Options;
  /// Without log.flush = always there are only the clients that can live with lost records.
  explicit PowerScenario(Options options);
  /// Cuts the power `cuts` times. Returns what was wrong, or nothing.
  Wrong run(int cuts);
  int cuts() const { return cuts_; }
  /// What the server has acknowledged in all its lives.
  PromiseCounts promises() const { return world_.promises(); }

 private:
  struct Client {
    std::unique_ptr<PowerClient> client;
    uint64_t weight;  ///< Of 100.
  };
  Wrong life();
  Wrong check();
  void work();
  void act();
  void cut();

  PowerWorld world_;
  std::vector<Client> clients_;
  int cuts_ = 0;
};

/// Runs `work(number)` for 0 .. count - 1 on several threads, until one says that it is enough.
void in_parallel(size_t count, const std::function<bool(size_t)>& work);

/// What a sync makes durable, without names and numbers: "file /data/log/#/#/#.log".
std::string kind_of_sync(const SyncCall& sync);

}  // namespace ziwa::app::testing
