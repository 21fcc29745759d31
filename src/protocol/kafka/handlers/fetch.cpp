#include "protocol/kafka/messages/fetch.h"

#include "protocol/kafka/errors.h"
#include "protocol/kafka/handlers/handlers.h"

#include <algorithm>

namespace ziwa::kafka {
namespace {

using FetchCall = Call<FetchRequest, FetchResponse>;
using PartitionData = FetchResponse::FetchableTopicResponse::PartitionData;

constexpr size_t kAnswerBytesMin = 1u << 20;  ///< Even when memory is short.

/// One Fetch request, from the first look until there is enough to answer or its time is over.
/// The loop looks and waits; reading the log is left to a background thread. Only one of the two
/// works on it at a time.
class FetchJob : public std::enable_shared_from_this<FetchJob> {
 public:
  FetchJob(Broker& broker, std::shared_ptr<FetchCall> call)
      : broker_(broker.shared_from_this()), call_(std::move(call)) {}

  void start() {
    const FetchRequest& request = call_->request;
    if (request.session_id != 0) {
      response_.error_code =
          wire(ErrorCode::fetch_session_id_not_found);  // There are no sessions here.
      return call_->reply(response_);
    }
    deadline_ms_ = now_ms() + std::clamp<int64_t>(request.max_wait_ms, 0,
                                                  broker_->options().fetch_wait_max_ms);
    isolation_ = request.isolation_level == 1 ? log::Isolation::read_committed
                                              : log::Isolation::read_uncommitted;
    resolve();
    look();
  }

 private:
  struct Target {
    PartitionId id;
    Offset from;
    size_t bytes_max = 0;
    Offset seen_end;  ///< High watermark at the last look.
    PartitionData* out = nullptr;
  };

  int64_t now_ms() const { return broker_->clock().monotonic_ns() / 1'000'000; }

  /// Makes the skeleton of the answer, and a target for each partition that exists.
  void resolve() {
    auto snapshot = broker_->catalog().snapshot();
    const bool by_id = call_->version() >= 13;
    for (const auto& topic : call_->request.topics) {
      auto& out = response_.responses.emplace_back();
      out.topic = topic.topic;
      out.topic_id = topic.topic_id;
      out.partitions.resize(topic.partitions.size());
    }
    for (size_t t = 0; t < call_->request.topics.size(); ++t) {
      const auto& topic = call_->request.topics[t];
      auto object = by_id ? broker_->topic_ids().find(*snapshot, topic.topic_id)
                          : find_topic(*snapshot, topic.topic);
      for (size_t p = 0; p < topic.partitions.size(); ++p) {
        const auto& asked = topic.partitions[p];
        PartitionData& out = response_.responses[t].partitions[p];
        out.partition_index = asked.partition;
        out.records.emplace();
        if (!object) {
          fail(out, by_id ? ErrorCode::unknown_topic_id : ErrorCode::unknown_topic_or_partition);
        } else if (asked.partition < 0 || asked.partition >= object->topic().partitions) {
          fail(out, ErrorCode::unknown_topic_or_partition);
        } else if (asked.current_leader_epoch > Broker::kLeaderEpoch) {
          fail(out, ErrorCode::unknown_leader_epoch);
        } else {
          targets_.push_back(
              {.id = {.topic = object->id, .partition = asked.partition},
               .from = Offset(asked.fetch_offset),
               .bytes_max = static_cast<size_t>(std::max(asked.partition_max_bytes, 0)),
               .out = &out});
        }
      }
    }
  }

  void fail(PartitionData& out, ErrorCode code) {
    out.error_code = wire(code);
    out.high_watermark = -1;
    failed_ = true;
  }

  /// Reads if there is anything to be had, else waits.
  void look() {
    bool ready = failed_ || now_ms() >= deadline_ms_;
    for (auto& target : targets_) {
      auto info = broker_->log().info(target.id);
      if (!info) {
        ready = true;  // Reading will say why.
        continue;
      }
      target.seen_end = info->high_watermark;
      const bool out_of_range = target.from > info->high_watermark || target.from < info->log_start;
      if (out_of_range || target.from < info->high_watermark) ready = true;
    }
    if (ready || call_->request.min_bytes <= 0) return read();
    wait();
  }

  void read() {
    const size_t budget = std::max(kAnswerBytesMin, broker_->memory().left());
    const auto asked = static_cast<size_t>(std::max(call_->request.max_bytes, 0));
    const size_t bytes_max = std::min({asked, broker_->options().fetch_bytes_max, budget});
    broker_->offload(
        [self = shared_from_this(), bytes_max] { return self->read_targets(bytes_max); },
        [self = shared_from_this()](size_t bytes) { self->after_read(bytes); });
  }

  /// Background. Returns the bytes that were read.
  size_t read_targets(size_t bytes_max) {
    size_t total = 0;
    for (auto& target : targets_) {
      // The first batch is given whatever its size, so that nobody is stuck on a large one.
      const size_t limit = std::min(target.bytes_max, bytes_max - std::min(total, bytes_max));
      auto data = broker_->log().fetch(target.id, target.from, limit, isolation_);
      if (!data) {
        fail_read(*target.out, data.error());
        continue;
      }
      if (total > 0 && data->batches.size() > limit) data->batches.clear();
      total += data->batches.size();
      fill(target, std::move(*data));
    }
    return total;
  }

  void fail_read(PartitionData& out, const Error& error) {
    switch (error.code()) {
      case Code::invalid_argument:
        return fail(out, ErrorCode::offset_out_of_range);
      case Code::corrupt:
        return fail(out, ErrorCode::corrupt_message);
      default:
        return fail(out, error_code_of(error));
    }
  }

  void fill(Target& target, log::FetchedData data) {
    PartitionData& out = *target.out;
    target.seen_end = data.high_watermark;
    out.high_watermark = data.high_watermark.value;
    out.last_stable_offset = data.last_stable_offset.value;
    out.log_start_offset = data.log_start.value;
    out.records = std::move(data.batches);
    out.aborted_transactions.reset();
    if (isolation_ != log::Isolation::read_committed) return;
    auto& aborted = out.aborted_transactions.emplace();
    for (const auto& transaction : data.aborted) {
      aborted.push_back(
          {.producer_id = transaction.producer_id, .first_offset = transaction.first_offset.value});
    }
  }

  void after_read(size_t bytes) {
    const auto wanted = static_cast<size_t>(std::max(call_->request.min_bytes, 0));
    if (failed_ || bytes >= wanted || now_ms() >= deadline_ms_) return call_->reply(response_);
    wait();
  }

  void wait() {
    std::vector<std::pair<PartitionId, Offset>> ends;
    for (const auto& target : targets_) ends.emplace_back(target.id, target.seen_end);
    timer_ = broker_->loop().after(std::max<int64_t>(deadline_ms_ - now_ms(), 0),
                                   [self = shared_from_this()] { self->wake(); });
    if (!timer_) return call_->reply(response_);  // The door stops.
    waiting_ = true;
    auto broker = broker_;
    subscription_ = broker_->log().when_past(std::move(ends), [weak = weak_from_this(), broker] {
      broker->loop().post([weak] {
        if (auto self = weak.lock()) self->wake();
      });
    });
  }

  void wake() {
    if (!waiting_) return;
    waiting_ = false;
    subscription_.reset();
    auto self = shared_from_this();  // The timer may be the last to hold this.
    timer_.reset();
    look();
  }

  std::shared_ptr<Broker> broker_;
  std::shared_ptr<FetchCall> call_;
  FetchResponse response_;
  std::vector<Target> targets_;
  log::Isolation isolation_ = log::Isolation::read_uncommitted;
  int64_t deadline_ms_ = 0;
  bool failed_ = false;
  bool waiting_ = false;
  std::shared_ptr<void> timer_;
  std::shared_ptr<void> subscription_;
};

}  // namespace

void handle_fetch(Broker& broker, std::shared_ptr<FetchCall> call) {
  std::make_shared<FetchJob>(broker, std::move(call))->start();
}

}  // namespace ziwa::kafka
