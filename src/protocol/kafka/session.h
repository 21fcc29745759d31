#pragma once

#include "protocol/kafka/broker.h"
#include "protocol/kafka/connection.h"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include <memory>
#include <optional>
#include <string>

namespace ziwa::kafka {

/// A socket and its Connection: moves bytes, and hands requests to the broker. Loop thread only.
class Session : public std::enable_shared_from_this<Session> {
 public:
  struct Limits {
    Connection::Limits connection;
    int64_t idle_ms = 0;
    int64_t stall_ms = 0;
    int64_t request_ms = 0;
  };
  Session(boost::asio::ip::tcp::socket socket, std::shared_ptr<void> token,
          std::shared_ptr<Broker> broker, const Limits& limits, Counter& bytes_in,
          Counter& bytes_out);

  /// Reads and answers until the client or close() ends it.
  void start();
  void close();
  bool is_open() const { return open_; }

 private:
  void schedule_work();
  void work();
  void respond(uint64_t sequence, Outcome outcome);
  void fail(const std::string& reason);
  void wait_for_memory();
  void watch();
  /// Why the connection must end now, if it must.
  std::optional<std::string> overdue();
  void received(size_t count);
  void sent(size_t count);
  int64_t now_ms() const;

  boost::asio::ip::tcp::socket socket_;
  std::shared_ptr<void> token_;
  std::shared_ptr<Broker> broker_;
  const Limits limits_;
  Counter& bytes_in_;
  Counter& bytes_out_;
  Connection connection_;
  std::string peer_;
  std::string client_host_;
  bool open_ = true;
  bool work_scheduled_ = false;
  bool writing_ = false;
  int64_t last_move_ms_ = 0;  ///< When a byte was last read or written.
  /// The request that is arriving, and since when watch() sees it arrive.
  uint64_t arriving_ = 0;
  std::optional<int64_t> arriving_since_ms_;
  boost::asio::steady_timer may_read_;
  boost::asio::steady_timer may_write_;
  boost::asio::steady_timer watchdog_;
  std::shared_ptr<void> memory_wait_;

  friend struct SessionLoops;
};

}  // namespace ziwa::kafka
