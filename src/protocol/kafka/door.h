#pragma once

#include "base/clock.h"
#include "base/metrics.h"
#include "base/result.h"
#include "catalog/catalog.h"
#include "log/groups/requests.h"
#include "log/log.h"
#include "state/store.h"

#include <boost/asio/io_context.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace ziwa::kafka {

/// A consumer group and what it has committed.
struct GroupStatus {
  groups::GroupDescription group;
  std::vector<groups::GroupOffset> offsets;
};

/// The Kafka door: a port that speaks the Kafka protocol to the log, the catalog and the consumer
/// groups.
class Door {
 public:
  /// What the door serves from; all of it must outlive the door.
  struct Deps {
    log::Log& log;
    catalog::Catalog& catalog;
    state::Store& store;  ///< Has a table "groups".
    const Clock& clock;
    Metrics& metrics;
    /// Makes those who read the log (views, sinks) take in what is there, durably, so that it may
    /// be deleted. Background threads call it and it blocks; empty: nobody reads.
    std::function<Status()> settle_readers;
  };
  /// Settings doors.kafka.* and kafka.*.
  struct Options {
    std::string address = "127.0.0.1";
    uint16_t port = 9092;  ///< 0: any free one.
    int connections_max = 1024;
    size_t request_bytes_max = 100u << 20;    ///< kafka.request.bytes.max: one request.
    size_t unanswered_bytes_max = 32u << 20;  ///< Of one connection; above, it is not read from.
    size_t memory_bytes_max =
        256u << 20;             ///< kafka.memory.max: requests and answers of all connections.
    size_t in_flight_max = 64;  ///< Unanswered requests of one connection.
    size_t fetch_bytes_max = 16u << 20;   ///< Of one Fetch answer.
    uint32_t batch_bytes_max = 1u << 20;  ///< The log's TopicConfig::batch_bytes_max.
    int64_t idle_ms = 10 * 60 * 1000;     ///< A connection without requests is closed after this.
    int64_t stall_ms =
        60 * 1000;  ///< A request or answer that does not move on ends the connection.
    int64_t request_ms = 30 * 1000;  ///< kafka.request.timeout: for a whole request.
    int threads = 2;                 ///< For cold reads and catalog changes.
    bool auto_create_topics = false;
    int32_t default_partitions = 1;
    int32_t partitions_max = 1'000;
    int64_t group_retention_ms = 7LL * 24 * 3600 * 1000;
    int32_t group_initial_rebalance_delay_ms = 100;
    int32_t group_session_timeout_min_ms = 1'000;
    size_t group_members_max = 1'000;
  };

  /// Reads the groups, listens, and serves from `io`, which one thread runs. Blocks for reading the
  /// groups. Errors: already_exists (the port has an owner, who is named), permission (not
  /// loopback), corrupt (stored groups).
  static Result<std::unique_ptr<Door>> start(boost::asio::io_context& io, Deps deps,
                                             Options options);
  virtual ~Door() = default;
  virtual uint16_t port() const = 0;
  /// Clients that are connected now. Any thread.
  virtual int connections() const = 0;
  /// All consumer groups. Any thread but that of `io`, for which it waits. Errors: unavailable (the
  /// door is stopping).
  virtual Result<std::vector<GroupStatus>> groups() = 0;
  /// Stops listening, closes all connections and waits for what is running in the background. Any
  /// thread but the door's own background threads; `io` must be running or finished. Idempotent.
  virtual void stop() = 0;
};

}  // namespace ziwa::kafka
