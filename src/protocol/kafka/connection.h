#pragma once

#include "base/result.h"
#include "protocol/kafka/memory.h"
#include "protocol/kafka/wire.h"

#include <cstddef>
#include <cstdlib>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace ziwa::kafka {

/// The bytes of one request after the size field.
struct Frame {
  struct Free {
    void operator()(std::byte* bytes) const { std::free(bytes); }
  };
  std::unique_ptr<std::byte[], Free> bytes;  ///< Grows by realloc, which moves pages, not bytes.
  size_t size = 0;
  /// Makes room for `size` bytes; those that are there stay.
  void resize(size_t wanted);
  ByteView view() const { return {bytes.get(), size}; }
};

/// A request that has arrived whole. The views in it point into the frame.
struct Request {
  uint64_t sequence = 0;  ///< Position among the requests of its connection.
  std::shared_ptr<const Frame> frame;
  RequestHeader header;
  ByteView body;
};

/// One client connection without its socket: bytes in become requests, answers become bytes out in
/// the order of the requests. Loop thread only.
///
/// Requests are handed out one at a time, as Kafka does, except that Produce requests that follow
/// each other are handed out at once: their order is kept by the log, and they may share one sync.
///
/// No request is handed out while more than unanswered_bytes_max of answers are unsent: its answer
/// would only add to them.
///
/// A connection stops asking for input (wants_input) while it holds more than unanswered_bytes_max
/// of requests and unsent answers, has in_flight_max requests unanswered, or waits for memory;
/// input it already has waits with it.
class Connection {
 public:
  struct Limits {
    size_t request_bytes_max = 100u << 20;
    size_t unanswered_bytes_max = 32u << 20;
    size_t in_flight_max = 64;
  };

  Connection(const Limits& limits, MemoryBudget& memory);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  bool wants_input() const;
  /// Is input held back because other connections have taken all memory? Then call resume() when
  /// some is released.
  bool waits_for_memory() const { return waits_for_memory_; }
  /// The number of requests that have arrived whole.
  uint64_t requests() const { return next_sequence_; }
  /// Has a request begun to arrive that is not whole yet?
  bool mid_request() const { return frame_ || input_end_ > input_begin_; }
  /// Is nothing going on: no request arriving, waiting or unanswered?
  bool idle() const { return !mid_request() && unanswered() == 0 && output_.empty(); }
  /// Where the next bytes go; valid until received(). Empty unless wants_input().
  std::span<std::byte> space();
  /// `count` bytes were put into space(). Errors: the connection must be closed (what arrived is
  /// not the protocol, or the frame is too large); the message says why.
  Status received(size_t count);
  /// Looks again at input that was held back. Errors: as received().
  Status resume();

  /// The next request to be handled now, if any.
  std::optional<Request> next();
  /// Answers the request with `sequence`, once; an empty answer sends nothing (acks=0).
  void answer(uint64_t sequence, Bytes response);

  bool has_output() const { return !output_.empty(); }
  /// All answers that are due, in order; tell sent() when they are written.
  std::vector<Bytes> take_output();
  void sent(size_t bytes);

 private:
  struct Slot {
    uint64_t sequence;
    size_t request_bytes;
    bool overlaps;
    bool answered = false;
    Bytes response;
  };
  Status parse();
  /// False: not now (limits or memory).
  Result<bool> parse_one();
  Status check_size(int32_t size) const;
  void begin_frame(size_t size);
  /// Makes room for the next piece of the frame; false: no memory now.
  bool grow_frame();
  Status finish_frame();
  size_t unanswered() const { return ready_.size() + in_flight_.size(); }
  void flush_answered();

  const Limits& limits_;
  MemoryBudget& memory_;
  std::vector<std::byte> input_;  ///< Bytes not yet in a frame: [input_begin_, input_end_).
  size_t input_begin_ = 0;
  size_t input_end_ = 0;
  /// The frame that arrives directly, with the room that it has so far.
  std::shared_ptr<Frame> frame_;
  size_t frame_announced_ = 0;
  size_t frame_filled_ = 0;
  bool waits_for_memory_ = false;
  size_t held_bytes_ = 0;    ///< Reserved in memory_: requests, and answers until they are sent.
  size_t unsent_bytes_ = 0;  ///< Of these, answers.
  uint64_t next_sequence_ = 0;
  std::deque<Request> ready_;
  std::deque<Slot> in_flight_;
  std::deque<Bytes> output_;
};

}  // namespace ziwa::kafka
