#include "data/record_codec.h"
#include "duck/catalog_api.h"
#include "duck/expression.h"
#include "log/record_batch.h"
#include "sql/partitioner.h"
#include "sql/row_writer.h"

#include <condition_variable>

namespace ziwa::sql {
namespace {

constexpr size_t kBatchBytes = 512u << 10;
constexpr size_t kBatchRecords = 10'000;

/// Waits for appends that were handed to the log.
class Appends {
 public:
  void start() {
    std::lock_guard lock(mutex_);
    ++running_;
  }
  void done(const Result<EntryNumber>& outcome) {
    std::lock_guard lock(mutex_);
    if (!outcome) {
      if (!error_) error_ = outcome.error();
    } else {
      ++succeeded_;
      last_ = std::max(last_, *outcome);
    }
    if (--running_ == 0) idle_.notify_all();
  }
  Result<EntryNumber> wait() {
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [&] { return running_ == 0; });
    if (!error_) return last_;
    if (succeeded_ == 0) return *error_;
    return Error(Code::maybe_applied, "some rows were appended and others were not: {}",
                 error_->message())
        .with_hint("look at the topic before you insert again");
  }

 private:
  std::mutex mutex_;
  std::condition_variable idle_;
  int running_ = 0;
  size_t succeeded_ = 0;
  EntryNumber last_;
  std::optional<Error> error_;
};

struct PendingRecord {
  std::optional<Bytes> key;
  std::optional<Bytes> value;
};

std::optional<Bytes> bytes_of(const duckdb::Value& value) {
  if (value.IsNull()) return std::nullopt;
  std::string text = value.type().id() == duckdb::LogicalTypeId::BLOB
                         ? duckdb::StringValue::Get(value)
                         : value.ToString();
  ByteView view = as_bytes(text);
  return Bytes(view.begin(), view.end());
}

ByteView view_of(const Bytes& bytes) {
  static constexpr std::byte kNothing{};  // an empty value is not a null one
  return bytes.empty() ? ByteView(&kNothing, 0) : ByteView(bytes);
}

class TopicWriter final : public RowWriter {
 public:
  TopicWriter(Core& core, catalog::ObjectPtr topic, AppendWhen when,
              std::unique_ptr<data::RecordCodec> codec, duckdb::vector<duckdb::LogicalType> types)
      : core_(core),
        topic_(std::move(topic)),
        when_(when),
        codec_(std::move(codec)),
        types_(std::move(types)) {
    pending_.resize(static_cast<size_t>(definition().partitions));
    if (!definition().partition_by.empty())
      key_column_ = definition().schema.find(definition().partition_by);
  }

  ~TopicWriter() override {
    appends_->wait().ignore("the statement failed for another reason, which it says");
  }

  Status write(duckdb::DataChunk& rows) override {
    rows.Flatten();
    TRY(check_not_null(definition().schema, rows));
    if (codec_) {
      TRY(add_encoded(rows));
    } else {
      add_raw(rows);
    }
    keyless_partition_ = (keyless_partition_ + 1) % pending_.size();
    if (buffered_ > kTopicBufferBytes) {
      if (when_ == AppendWhen::finished) {
        return Error(Code::exhausted, "a transaction writes at most {} MiB of records",
                     kTopicBufferBytes >> 20)
            .with_hint("insert outside BEGIN ... COMMIT");
      }
      append_pending();
    }
    return {};
  }

  Result<EntryNumber> finish() override {
    append_pending();
    return appends_->wait();
  }

 private:
  const catalog::TopicDefinition& definition() const { return topic_->topic(); }

  Status add_encoded(duckdb::DataChunk& rows) {
    duck::Chunk chunk(types_);
    chunk.rows.Reference(rows);
    std::vector<Bytes> values;
    TRY(codec_->encode(chunk, values));
    for (size_t row = 0; row < values.size(); ++row) {
      std::optional<Bytes> key;
      if (key_column_) key = bytes_of(rows.GetValue(*key_column_, row));
      add({std::move(key), std::move(values[row])});
    }
    return {};
  }

  void add_raw(duckdb::DataChunk& rows) {
    for (duckdb::idx_t row = 0; row < rows.size(); ++row) {
      add({bytes_of(rows.GetValue(0, row)), bytes_of(rows.GetValue(1, row))});
    }
  }

  void add(PendingRecord record) {
    size_t partition = keyless_partition_;
    if (record.key)
      partition = static_cast<size_t>(partition_of_key(*record.key, definition().partitions));
    size_t bytes =
        32 + (record.key ? record.key->size() : 0) + (record.value ? record.value->size() : 0);
    buffered_ += bytes;
    pending_[partition].push_back(std::move(record));
  }

  /// All that is buffered, in one piece: after a power cut it is there or not.
  void append_pending() {
    std::vector<log::Log::PartitionBatches> parts;
    for (size_t partition = 0; partition < pending_.size(); ++partition) {
      if (pending_[partition].empty()) continue;
      parts.push_back({PartitionId{topic_->id, static_cast<int32_t>(partition)},
                       encoded_batches(pending_[partition])});
      pending_[partition].clear();
    }
    buffered_ = 0;
    if (parts.empty()) return;
    appends_->start();
    // The log may call back after this statement was given up.
    core_.deps.log.append_together(
        std::move(parts),
        [appends = appends_](Result<EntryNumber> outcome) { appends->done(outcome); });
  }

  std::vector<Bytes> encoded_batches(const std::vector<PendingRecord>& records) const {
    std::vector<Bytes> batches;
    std::vector<log::NewRecord> batch;
    size_t bytes = 0;
    TimestampMs now = core_.deps.clock.now();
    for (const PendingRecord& record : records) {
      log::NewRecord next{.timestamp = now, .key = {}, .value = {}};
      if (record.key) next.key = view_of(*record.key);
      if (record.value) next.value = view_of(*record.value);
      size_t size = (next.key ? next.key->size() : 0) + (next.value ? next.value->size() : 0);
      if (!batch.empty() && (bytes + size > kBatchBytes || batch.size() >= kBatchRecords)) {
        batches.push_back(log::encode_batch(batch));
        batch.clear();
        bytes = 0;
      }
      batch.push_back(next);
      bytes += size;
    }
    if (!batch.empty()) batches.push_back(log::encode_batch(batch));
    return batches;
  }

  Core& core_;
  catalog::ObjectPtr topic_;
  AppendWhen when_;
  std::unique_ptr<data::RecordCodec> codec_;  ///< Null on a raw topic.
  duckdb::vector<duckdb::LogicalType> types_;
  std::optional<size_t> key_column_;
  std::vector<std::vector<PendingRecord>> pending_;  ///< Per partition.
  size_t buffered_ = 0;
  size_t keyless_partition_ = 0;
  std::shared_ptr<Appends> appends_ = std::make_shared<Appends>();
};

}  // namespace

Result<std::unique_ptr<RowWriter>> make_topic_writer(Core& core, const catalog::ObjectPtr& topic,
                                                     AppendWhen when) {
  const auto& definition = topic->topic();
  duckdb::vector<duckdb::LogicalType> types;
  for (const data::Column& column : definition.schema.columns)
    types.push_back(TRY(duck::parse_type(column.type)));
  std::unique_ptr<data::RecordCodec> codec;
  if (!definition.schema.columns.empty())
    codec = TRY(data::make_record_codec(definition.schema, definition.format));
  return std::make_unique<TopicWriter>(core, topic, when, std::move(codec), std::move(types));
}

}  // namespace ziwa::sql
