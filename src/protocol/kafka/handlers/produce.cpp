#include "protocol/kafka/messages/produce.h"

#include "log/record_batch.h"
#include "protocol/kafka/errors.h"
#include "protocol/kafka/handlers/handlers.h"

#include <atomic>

namespace ziwa::kafka {
namespace {

using ProduceCall = Call<ProduceRequest, ProduceResponse>;
using PartitionResponse = ProduceResponse::TopicProduceResponse::PartitionProduceResponse;

/// The appends of one request. Each fills its own part of the response, on any thread; the last one
/// answers on the loop.
struct Appends {
  std::shared_ptr<Broker> broker;
  std::shared_ptr<ProduceCall> call;
  ProduceResponse response;
  std::atomic<size_t> left{1};  ///< One for the handler itself.

  static void finish_one(std::shared_ptr<Appends> self) {
    if (self->left.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    Loop& loop = self->broker->loop();
    loop.post([self = std::move(self)] { self->answer(); });
  }

  void answer() {
    if (call->request.acks != 0) return call->reply(response);
    // Without an answer, ending the connection is the only way to say that something was refused.
    for (const auto& topic : response.responses) {
      for (const auto& partition : topic.partition_responses) {
        if (partition.error_code == 0) continue;
        return call->close(fmt::format("a batch sent with acks=0 was refused: {}",
                                       partition.error_message.value_or("")));
      }
    }
    call->no_reply();
  }
};

void refuse(PartitionResponse& out, ErrorCode code, std::string message) {
  out.error_code = wire(code);
  out.base_offset = -1;
  out.error_message = std::move(message);
}

/// Checks what the log leaves to its callers; true when the batch may go there.
bool check_batch(const Broker& broker, ByteView records, PartitionResponse& out) {
  if (records.size() > broker.options().batch_bytes_max) {
    refuse(out, ErrorCode::message_too_large,
           fmt::format("a batch of {} bytes is larger than {}", records.size(),
                       broker.options().batch_bytes_max));
    return false;
  }
  auto header = log::parse_batch_header(records);
  if (!header) {
    refuse(out, ErrorCode::corrupt_message, error_text(header.error()));
    return false;
  }
  if (header->total_bytes() != records.size() || header->control()) {
    refuse(out, ErrorCode::invalid_record,
           "a producer sends exactly one batch of records for a partition");
    return false;
  }
  if (header->transactional()) {
    refuse(out, ErrorCode::transactional_id_authorization_failed,
           "transactions of clients are not built yet");
    return false;
  }
  return true;
}

void append(const std::shared_ptr<Appends>& appends, PartitionId id, ByteView records,
            PartitionResponse& out) {
  if (!check_batch(*appends->broker, records, out)) return;
  appends->left.fetch_add(1, std::memory_order_relaxed);
  auto gate = appends->broker->gate();
  gate->enter();
  // The batch lies in the request's frame, which `appends` keeps.
  auto done = [appends = appends, gate, &out](Result<log::Appended> result,
                                              log::AppendRefusal refusal) mutable {
    if (result) {
      out.base_offset = result->base_offset.value;
      out.log_start_offset = result->log_start.value;
    } else {
      refuse(out, error_code_of(result.error(), refusal), error_text(result.error()));
    }
    Appends::finish_one(std::move(appends));
    gate->leave();  // Nothing of the door is touched after this.
  };
  appends->broker->log().append(id, records, std::move(done));
}

void append_topic(const std::shared_ptr<Appends>& appends, const catalog::Snapshot& snapshot,
                  const ProduceRequest::TopicProduceData& topic,
                  ProduceResponse::TopicProduceResponse& out) {
  const bool by_id = appends->call->version() >= 13;
  auto object = by_id ? appends->broker->topic_ids().find(snapshot, topic.topic_id)
                      : find_topic(snapshot, topic.name);
  out.name = topic.name;
  out.topic_id = topic.topic_id;
  out.partition_responses.resize(topic.partition_data.size());
  for (size_t i = 0; i < topic.partition_data.size(); ++i) {
    const auto& data = topic.partition_data[i];
    PartitionResponse& partition = out.partition_responses[i];
    partition.index = data.index;
    if (!object) {
      refuse(partition, by_id ? ErrorCode::unknown_topic_id : ErrorCode::unknown_topic_or_partition,
             "no such topic");
    } else if (data.index < 0 || data.index >= object->topic().partitions) {
      refuse(partition, ErrorCode::unknown_topic_or_partition,
             fmt::format("the topic has partitions 0 to {}", object->topic().partitions - 1));
    } else {
      append(appends, {.topic = object->id, .partition = data.index},
             data.records.value_or(BlobView()).bytes, partition);
    }
  }
}

void refuse_all(const ProduceRequest& request, ErrorCode code, const std::string& message,
                ProduceResponse& response) {
  for (const auto& topic : request.topic_data) {
    auto& out = response.responses.emplace_back();
    out.name = topic.name;
    out.topic_id = topic.topic_id;
    for (const auto& data : topic.partition_data) {
      auto& partition = out.partition_responses.emplace_back();
      partition.index = data.index;
      refuse(partition, code, message);
    }
  }
}

}  // namespace

void handle_produce(Broker& broker, std::shared_ptr<ProduceCall> call) {
  auto appends = std::make_shared<Appends>();
  appends->broker = broker.shared_from_this();
  appends->call = call;
  const ProduceRequest& request = call->request;
  if (request.acks < -1 || request.acks > 1) {
    refuse_all(request, ErrorCode::invalid_required_acks, "acks must be 0, 1 or all",
               appends->response);
  } else if (request.transactional_id) {
    refuse_all(request, ErrorCode::transactional_id_authorization_failed,
               "transactions of clients are not built yet", appends->response);
  } else {
    auto snapshot = broker.catalog().snapshot();
    appends->response.responses.resize(request.topic_data.size());
    for (size_t i = 0; i < request.topic_data.size(); ++i) {
      append_topic(appends, *snapshot, request.topic_data[i], appends->response.responses[i]);
    }
  }
  Appends::finish_one(std::move(appends));
}

}  // namespace ziwa::kafka
