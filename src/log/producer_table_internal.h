#pragma once

#include "base/bytes.h"
#include "log/log.h"
#include "log/record_batch.h"

#include <array>
#include <map>
#include <optional>
#include <unordered_map>

namespace ziwa::log {

/// What one partition remembers of its idempotent producers: the epoch and the last five batches of
/// each, so that a repeated batch is recognised. Guarded by the partition's lock. Source: KIP-98;
/// the rules for gaps and unknown producers are those of Kafka's ProducerStateManager.
class ProducerTable {
 public:
  struct Batch {
    int32_t first_sequence = 0;
    int32_t last_sequence = 0;
    int64_t base_offset = 0;
    int64_t last_offset = 0;
    int64_t time = 0;  ///< When it was appended, ms.
  };
  struct Verdict {
    AppendRefusal refusal = AppendRefusal::none;
    std::optional<Batch> duplicate;
    std::string reason;
  };

  /// Whether the batch may be appended now.
  Verdict check(const BatchHeader& header) const;
  /// Notes an appended batch (base_offset is final).
  void add(const BatchHeader& header, int64_t time);
  /// Notes a control batch: later batches of older epochs are refused.
  void end_transaction(int64_t producer_id, int16_t epoch, int64_t time);
  std::optional<int16_t> epoch_of(int64_t producer_id) const;
  /// Forgets producers that have been silent since `before`, but for those that `keep` names.
  template <typename Keep>
  void expire(int64_t before, Keep keep) {
    std::erase_if(producers_,
                  [&](const auto& it) { return it.second.time < before && !keep(it.first); });
  }
  size_t size() const { return producers_.size(); }

  void encode(ByteWriter& writer) const;
  /// False: malformed.
  bool decode(ByteReader& reader);

 private:
  static constexpr size_t kBatchesKept = 5;
  struct Producer {
    int16_t epoch = -1;
    int64_t time = 0;
    uint8_t count = 0;
    std::array<Batch, kBatchesKept> batches{};  ///< Oldest first; `count` of them.
  };
  std::unordered_map<int64_t, Producer> producers_;
};

/// The sequence number of the last record of a batch; wraps at 2^31.
int32_t last_sequence(int32_t first, int32_t count);

}  // namespace ziwa::log
