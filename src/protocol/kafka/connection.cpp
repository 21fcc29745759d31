#include "protocol/kafka/connection.h"

#include "protocol/kafka/api_table.h"

#include <algorithm>
#include <cstring>

namespace ziwa::kafka {
namespace {

constexpr size_t kInputBytes = 16u << 10;
/// Of a request when its connection holds nothing else: never refused, so that small requests are
/// served whatever others hold.
constexpr size_t kFirstPieceBytes = 64u << 10;
constexpr size_t kSizeBytes = 4;
constexpr size_t kFrameBytesMin = 8;  ///< API key, version, correlation id.

/// What other protocols' first four bytes look like as a frame size.
const char* foreign_protocol(int32_t size) {
  std::byte raw[sizeof size];
  store_be(raw, size);
  std::string_view text = as_text(raw);
  if (text == "GET " || text == "POST" || text == "HEAD" || text == "PUT ")
    return " (an HTTP request?)";
  if (text.starts_with("\x16\x03")) return " (TLS is not spoken here)";
  return "";
}

}  // namespace

Connection::Connection(const Limits& limits, MemoryBudget& memory)
    : limits_(limits), memory_(memory), input_(kInputBytes) {}

Connection::~Connection() {
  memory_.end_favour(this);
  memory_.release(held_bytes_);
}

void Frame::resize(size_t wanted) {
  auto* larger = static_cast<std::byte*>(std::realloc(bytes.get(), std::max<size_t>(wanted, 1)));
  CHECK(larger != nullptr, "no memory for {} bytes of a request", wanted);
  bytes.release();  // It is part of `larger`.
  bytes.reset(larger);
  size = wanted;
}

bool Connection::wants_input() const {
  return !waits_for_memory_ && unanswered() < limits_.in_flight_max &&
         (frame_ || held_bytes_ < limits_.unanswered_bytes_max);
}

std::span<std::byte> Connection::space() {
  if (!wants_input()) return {};
  if (frame_) return {frame_->bytes.get() + frame_filled_, frame_->size - frame_filled_};
  if (input_begin_ > 0) {
    std::memmove(input_.data(), input_.data() + input_begin_, input_end_ - input_begin_);
    input_end_ -= input_begin_;
    input_begin_ = 0;
  }
  return std::span(input_).subspan(input_end_);
}

Status Connection::received(size_t count) {
  if (!frame_) {
    input_end_ += count;
    return parse();
  }
  frame_filled_ += count;
  if (frame_filled_ < frame_->size) return {};
  if (frame_filled_ < frame_announced_) {
    waits_for_memory_ = !grow_frame();
    return {};
  }
  return finish_frame();
}

Status Connection::resume() {
  waits_for_memory_ = frame_ && frame_filled_ == frame_->size && !grow_frame();
  return parse();
}

Status Connection::parse() {
  while (!frame_) {
    if (!TRY(parse_one())) break;
  }
  return {};
}

Result<bool> Connection::parse_one() {
  const size_t available = input_end_ - input_begin_;
  if (available < kSizeBytes || unanswered() >= limits_.in_flight_max ||
      held_bytes_ >= limits_.unanswered_bytes_max) {
    return false;
  }
  const auto size = load_be<int32_t>(input_.data() + input_begin_);
  TRY(check_size(size));
  const auto first = std::min(static_cast<size_t>(size), kFirstPieceBytes);
  if (held_bytes_ == 0) {
    memory_.add(first);
  } else if (!memory_.try_grow(this, held_bytes_, first)) {
    waits_for_memory_ = true;
    return false;
  }
  begin_frame(static_cast<size_t>(size));
  if (frame_filled_ == frame_announced_) TRY(finish_frame());
  return true;
}

Status Connection::check_size(int32_t size) const {
  if (size >= static_cast<int32_t>(kFrameBytesMin) &&
      static_cast<size_t>(size) <= limits_.request_bytes_max)
    return {};
  return Error(Code::invalid_argument, "a frame of {} bytes is not between {} and {}{}", size,
               kFrameBytesMin, limits_.request_bytes_max, foreign_protocol(size));
}

void Connection::begin_frame(size_t size) {
  const size_t first = std::min(size, kFirstPieceBytes);
  held_bytes_ += first;
  input_begin_ += kSizeBytes;
  frame_ = std::make_shared<Frame>();
  frame_announced_ = size;
  frame_->resize(first);
  frame_filled_ = std::min(first, input_end_ - input_begin_);
  std::memcpy(frame_->bytes.get(), input_.data() + input_begin_, frame_filled_);
  input_begin_ += frame_filled_;
}

bool Connection::grow_frame() {
  const size_t more = std::min(frame_->size, frame_announced_ - frame_->size);
  if (!memory_.try_grow(this, held_bytes_, more)) return false;
  held_bytes_ += more;
  frame_->resize(frame_->size + more);
  return true;
}

Status Connection::finish_frame() {
  memory_.end_favour(this);
  Request request;
  request.frame = std::move(frame_);
  frame_.reset();
  Decoder in(request.frame->view(), false);
  request.header = read_header(in, is_flexible);
  TRY(in.status("request header"));
  request.body = in.rest();
  request.sequence = next_sequence_++;
  ready_.push_back(std::move(request));
  return {};
}

std::optional<Request> Connection::next() {
  if (ready_.empty() || unsent_bytes_ >= limits_.unanswered_bytes_max) return std::nullopt;
  const bool overlaps = ready_.front().header.api_key == kProduceKey;
  if (!in_flight_.empty() && !(overlaps && in_flight_.back().overlaps)) return std::nullopt;
  Request request = std::move(ready_.front());
  ready_.pop_front();
  in_flight_.push_back(
      {.sequence = request.sequence, .request_bytes = request.frame->size, .overlaps = overlaps});
  return request;
}

void Connection::answer(uint64_t sequence, Bytes response) {
  auto slot = std::ranges::find(in_flight_, sequence, &Slot::sequence);
  CHECK(slot != in_flight_.end() && !slot->answered, "request {} is answered twice", sequence);
  slot->answered = true;
  memory_.add(response.size());
  held_bytes_ += response.size();
  unsent_bytes_ += response.size();
  slot->response = std::move(response);
  flush_answered();
}

void Connection::flush_answered() {
  while (!in_flight_.empty() && in_flight_.front().answered) {
    Slot slot = std::move(in_flight_.front());
    in_flight_.pop_front();
    if (!slot.response.empty()) output_.push_back(std::move(slot.response));
    held_bytes_ -= slot.request_bytes;
    memory_.release(slot.request_bytes);
  }
}

std::vector<Bytes> Connection::take_output() {
  std::vector<Bytes> due(std::make_move_iterator(output_.begin()),
                         std::make_move_iterator(output_.end()));
  output_.clear();
  return due;
}

void Connection::sent(size_t bytes) {
  held_bytes_ -= bytes;
  unsent_bytes_ -= bytes;
  memory_.release(bytes);
}

}  // namespace ziwa::kafka
