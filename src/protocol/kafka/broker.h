#pragma once

#include "base/clock.h"
#include "base/metrics.h"
#include "catalog/catalog.h"
#include "log/groups/coordinator.h"
#include "log/log.h"
#include "protocol/kafka/connection.h"
#include "protocol/kafka/loop.h"
#include "protocol/kafka/memory.h"
#include "protocol/kafka/topics.h"

#include <functional>
#include <memory>
#include <string>

namespace ziwa::kafka {

/// What the handlers need to know of the settings.
struct BrokerOptions {
  std::string host = "127.0.0.1";  ///< Where clients are told to connect.
  uint16_t port = 0;
  std::string cluster_id = "ziwa";
  int32_t default_partitions = 1;
  int32_t partitions_max = 1'000;  ///< Of one topic.
  bool auto_create_topics = false;
  uint32_t batch_bytes_max = 1u << 20;  ///< Above: message_too_large. The log's own limit.
  size_t fetch_bytes_max = 16u << 20;   ///< Of one Fetch answer, whatever the client asks for.
  int64_t fetch_wait_max_ms = 60'000;
  size_t memory_bytes_max = 256u << 20;  ///< Requests and answers of all connections.
  size_t offset_metadata_bytes_max = 4'096;
};

/// How a request ends: an encoded answer, none at all, or the end of the connection with a reason
/// for the log.
struct Outcome {
  Bytes response;
  std::string close_reason;
};
using Respond = std::move_only_function<void(Outcome)>;

/// What the handlers work with; one per door, shared by its connections. Loop thread, except where
/// said. It is kept alive by whatever a handler has in flight; what it refers to must outlive that.
class Broker : public std::enable_shared_from_this<Broker> {
 public:
  struct Parts {
    log::Log& log;
    catalog::Catalog& catalog;
    std::unique_ptr<groups::Storage> group_storage;
    const Clock& clock;
    Metrics& metrics;
    std::shared_ptr<Loop> loop;
    std::function<Status()> settle_readers;  ///< See Door::Deps.
  };
  static constexpr int32_t kNodeId = 1;
  static constexpr int32_t kLeaderEpoch = 0;  ///< There is one leader for ever.

  Broker(Parts parts, BrokerOptions options, groups::Coordinator::Options group_options);

  /// Handles `request` and calls `respond` once, perhaps later, on the loop.
  void handle(Request request, const std::string& client_host, Respond respond);

  log::Log& log() { return parts_.log; }                  ///< Any thread.
  catalog::Catalog& catalog() { return parts_.catalog; }  ///< Any thread.
  const Clock& clock() const { return parts_.clock; }     ///< Any thread.
  Loop& loop() { return *parts_.loop; }
  /// A background thread.
  Status settle_readers() { return parts_.settle_readers ? parts_.settle_readers() : Status(); }
  MemoryBudget& memory() { return memory_; }
  /// What the log's threads will still call.
  const std::shared_ptr<Gate>& gate() const { return gate_; }
  groups::Coordinator& groups() { return groups_; }
  const BrokerOptions& options() const { return options_; }  ///< Any thread.
  BrokerOptions& options() { return options_; }
  const TopicIds& topic_ids() const { return topic_ids_; }  ///< Any thread.

  /// Group deadlines are served often while there are members, else now and then (retention); call
  /// at the start and after anything that may have brought a member.
  void keep_ticking();
  /// Calls `work` on a thread that may block, then `then` with its result on the loop.
  template <typename Work, typename Then>
  void offload(Work work, Then then) {
    parts_.loop->background(
        [self = shared_from_this(), work = std::move(work), then = std::move(then)]() mutable {
          self->parts_.loop->post([self, result = work(), then = std::move(then)]() mutable {
            then(std::move(result));
          });
        });
  }

 private:
  void tick();
  /// Committed offsets go with their topic, whoever dropped it.
  void forget_dropped_topics();

  Parts parts_;
  BrokerOptions options_;
  MemoryBudget memory_;
  std::shared_ptr<Gate> gate_ = std::make_shared<Gate>();
  TopicIds topic_ids_;
  groups::Coordinator groups_;
  std::vector<Counter*> request_counters_;  ///< In order of api_table().
  uint64_t seen_catalog_version_ = 0;
  bool ticking_fast_ = false;
  std::shared_ptr<void> ticker_;
};

}  // namespace ziwa::kafka
