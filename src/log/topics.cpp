#include "base/advice.h"
#include "base/checksum.h"
#include "base/log.h"
#include "log/log_impl_internal.h"
#include "log/topic_config_internal.h"

#include <algorithm>

namespace ziwa::log {

namespace {

constexpr uint32_t kMagic = 0x43544C5A;  // "ZLTC"
constexpr uint32_t kVersion = 1;
constexpr size_t kHeaderBytes = 12;
constexpr int32_t kPartitionsMax = 10'000;
constexpr uint64_t kSegmentBytesMin = 1u << 10;
constexpr uint64_t kSegmentBytesMax = 1u << 30;
constexpr uint32_t kBatchBytesMax = 256u << 20;

}  // namespace

Status check_topic_config(const TopicConfig& config) {
  auto out_of_range = [](std::string_view name, auto value, auto low, auto high) {
    return Error(Code::invalid_argument, "{} must be between {} and {}, not {}", name, low, high,
                 value);
  };
  if (config.partitions < 1 || config.partitions > kPartitionsMax) {
    return out_of_range("partitions", config.partitions, 1, kPartitionsMax);
  }
  if (config.segment_bytes < kSegmentBytesMin || config.segment_bytes > kSegmentBytesMax) {
    return out_of_range("segment_bytes", config.segment_bytes, kSegmentBytesMin, kSegmentBytesMax);
  }
  if (config.batch_bytes_max < kBatchHeaderBytes || config.batch_bytes_max > kBatchBytesMax) {
    return out_of_range("batch_bytes_max", config.batch_bytes_max, kBatchHeaderBytes,
                        kBatchBytesMax);
  }
  if (config.retention_ms < -1 || config.retention_bytes < -1) {
    return Error(Code::invalid_argument, "retention must be -1 (for ever) or more");
  }
  return {};
}

Bytes encode_topic_config(const TopicConfig& config) {
  ByteWriter writer;
  writer.le<uint32_t>(kMagic);
  writer.le<uint32_t>(kVersion);
  writer.le<uint32_t>(0);
  writer.le<int32_t>(config.partitions);
  writer.le<int64_t>(config.retention_ms);
  writer.le<int64_t>(config.retention_bytes);
  writer.le<uint64_t>(config.segment_bytes);
  writer.le<uint32_t>(config.batch_bytes_max);
  store_le(writer.at(8), crc32c(writer.view().subspan(kHeaderBytes)));
  return writer.take();
}

Result<TopicConfig> decode_topic_config(ByteView bytes) {
  if (bytes.size() < kHeaderBytes || load_le<uint32_t>(bytes.data()) != kMagic) {
    return Error(Code::corrupt, "not a topic configuration");
  }
  if (auto version = load_le<uint32_t>(bytes.data() + 4); version > kVersion) {
    return Error(Code::unsupported,
                 "topic configuration has format {}, written by a newer Ziwa; this one reads {}",
                 version, kVersion)
        .with_hint(kNewerOrDamaged);
  }
  if (crc32c(bytes.subspan(kHeaderBytes)) != load_le<uint32_t>(bytes.data() + 8)) {
    return Error(Code::corrupt, "topic configuration has a wrong CRC");
  }
  ByteReader reader(bytes.subspan(kHeaderBytes));
  TopicConfig config;
  config.partitions = reader.le<int32_t>();
  config.retention_ms = reader.le<int64_t>();
  config.retention_bytes = reader.le<int64_t>();
  config.segment_bytes = reader.le<uint64_t>();
  config.batch_bytes_max = reader.le<uint32_t>();
  TRY(reader.status("topic configuration"));
  if (auto checked = check_topic_config(config); !checked)
    return Error(Code::corrupt, "topic configuration: {}", checked.error().message());
  return config;
}

std::string FileLog::topic_path(ObjectId id) const {
  return join_path(path_, std::to_string(id.value));
}

Status FileLog::write_config(ObjectId id, const TopicConfig& config) {
  return write_file_atomically(shared_.fs, join_path(topic_path(id), "topic"),
                               encode_topic_config(config));
}

Status FileLog::check_started() const {
  if (started_ && !closed_) return {};
  return Error(Code::unavailable, "the log is {}", started_ ? "closed" : "still starting");
}

Status FileLog::create_topic(ObjectId topic, const TopicConfig& config) {
  return set_topic(topic, config, false);
}
Status FileLog::alter_topic(ObjectId topic, const TopicConfig& config) {
  return set_topic(topic, config, true);
}

/// Creates the topic or brings it to `config`: new partitions first, then the configuration that
/// speaks of them.
Status FileLog::set_topic(ObjectId id, const TopicConfig& config, bool must_exist) {
  TRY(check_started());
  TRY(check_topic_config(config));
  std::lock_guard change(change_mutex_);
  Topic topic;
  bool exists = false;
  {
    std::shared_lock lock(topics_mutex_);
    auto found = topics_.find(id);
    exists = found != topics_.end();
    if (exists) topic = found->second;
  }
  if (!exists && must_exist) return Error(Code::not_found, "no topic {}", id);
  if (exists && topic.config == config) return {};
  if (!exists) TRY(check_new(id));
  auto had = static_cast<int32_t>(topic.partitions.size());
  if (config.partitions < had) {
    return Error(Code::invalid_argument, "topic {} has {} partitions: their number can only grow",
                 id, had);
  }
  if (!exists) TRY(shared_.fs.make_dirs(topic_path(id)));
  for (int32_t p = had; p < config.partitions; ++p) {
    auto directory = join_path(topic_path(id), std::to_string(p));
    TRY(shared_.fs.remove_all(directory));
    auto partition = std::make_shared<Partition>(shared_, PartitionId{id, p}, directory, config);
    const EntryNumber now = shared_.journal->durable();
    TRY(shared_.journal->sync_through(now));
    TRY(partition->create(now));
    topic.partitions.push_back(std::move(partition));
  }
  TRY(shared_.fs.sync_dir(topic_path(id)));
  TRY(write_config(id, config));
  if (!exists) TRY(shared_.fs.sync_dir(path_));
  topic.config = config;
  for (auto& partition : topic.partitions) partition->configure(config);
  std::unique_lock lock(topics_mutex_);
  topics_[id] = std::move(topic);
  return {};
}

/// Errors: corrupt when the topic has been there.
Status FileLog::check_new(ObjectId id) const {
  auto lost = missing_.find(id);
  if (lost == missing_.end() && !list_.topics().contains(id)) return {};
  const std::string offset =
      lost == missing_.end() ? "" : fmt::format(", it had records up to offset {}", lost->second);
  return Error(Code::corrupt, "{} or its configuration is missing{}", topic_path(id), offset)
      .with_hint(kRestoreBackup);
}

Status FileLog::drop_topic(ObjectId id) {
  TRY(check_started());
  std::lock_guard change(change_mutex_);
  Topic topic;
  {
    std::unique_lock lock(topics_mutex_);
    auto found = topics_.find(id);
    if (found == topics_.end()) return {};
    topic = found->second;
  }
  // Nothing may be on its way to the disk when the directories go.
  for (auto& partition : topic.partitions)
    partition->stop(Error(Code::not_found, "topic {} was dropped", id));
  {
    std::unique_lock lock(topics_mutex_);
    topics_.erase(id);
  }
  for (auto& partition : topic.partitions) partition->forget();
  // Without its configuration it is no topic any more, however far the rest gets.
  TRY(shared_.fs.remove(join_path(topic_path(id), "topic")));
  TRY(shared_.fs.sync_dir(topic_path(id)));
  TRY(shared_.fs.remove_all(topic_path(id)));
  TRY(shared_.fs.sync_dir(path_));
  list_.remove(id);
  return {};
}

void FileLog::keep_topic(ObjectId id) {
  std::lock_guard change(change_mutex_);
  list_.add(id);
}

Status FileLog::drop_unknown(const std::function<bool(ObjectId)>& exists) {
  std::vector<ObjectId> unknown;
  {
    std::shared_lock lock(topics_mutex_);
    for (const auto& [id, topic] : topics_) {
      if (!exists(id)) unknown.push_back(id);
    }
  }
  for (ObjectId id : unknown) {
    log_info("log", "the files of a topic that is not in the catalog are dropped", "topic={}", id);
    TRY(drop_topic(id));
  }
  std::lock_guard change(change_mutex_);
  std::set<ObjectId> here;
  {
    std::shared_lock lock(topics_mutex_);
    for (const auto& [id, topic] : topics_) here.insert(id);
  }
  for (ObjectId id : list_.topics()) {
    if (here.contains(id)) continue;
    if (!exists(id)) {
      TRY(shared_.fs.remove_all(topic_path(id)));  // Its removal was interrupted.
    } else {
      here.insert(id);
    }
  }
  // Those that were made just before a crash come in, too, and all of an older program's.
  list_.replace(std::move(here));
  return {};
}

}  // namespace ziwa::log
