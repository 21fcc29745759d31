#include "base/advice.h"
#include "base/bytes.h"
#include "base/checksum.h"
#include "base/log.h"
#include "log/topic_list_internal.h"

// Layout: docs/formats/log.md.
namespace ziwa::log {
namespace {

constexpr uint32_t kMagic = 0x4C544C5A;  // "ZLTL"
constexpr uint32_t kVersion = 1;
constexpr size_t kHeaderBytes = 12;
constexpr uint64_t kBytesMax = 64u << 20;

Bytes encode(const std::set<ObjectId>& topics) {
  ByteWriter rest;
  rest.varint(topics.size());
  for (ObjectId id : topics) rest.varint(id.value);
  ByteWriter out;
  out.le<uint32_t>(kMagic);
  out.le<uint32_t>(kVersion);
  out.le<uint32_t>(crc32c(rest.view()));
  out.raw(rest.view());
  return out.take();
}

}  // namespace

Error TopicList::damaged(std::string_view why) const {
  return Error(Code::corrupt, "{} is damaged: {}", path_, why).with_hint(kRestoreBackup);
}

Status TopicList::load() {
  auto bytes = read_file(fs_, path_, kBytesMax);
  if (!bytes && bytes.error().code() == Code::not_found) return {};
  if (!bytes) return std::move(bytes).error();
  if (bytes->size() < kHeaderBytes || load_le<uint32_t>(bytes->data()) != kMagic) {
    return damaged("no list of topics");
  }
  const auto version = load_le<uint32_t>(bytes->data() + 4);
  if (version > kVersion) {
    return Error(Code::unsupported, "{} has format {}, written by a newer Ziwa; this one reads {}",
                 path_, version, kVersion)
        .with_hint(kNewerOrDamaged);
  }
  if (version == 0) return damaged("no format");
  ByteView rest = ByteView(*bytes).subspan(kHeaderBytes);
  if (crc32c(rest) != load_le<uint32_t>(bytes->data() + 8)) {
    return damaged("its checksum is another");
  }
  ByteReader in(rest);
  for (uint64_t count = in.varint(); count > 0 && in.ok(); --count) topics_.emplace(in.varint());
  written_ = topics_;
  return in.status(path_);
}

void TopicList::add(ObjectId id) {
  topics_.insert(id);
  write();
}

void TopicList::remove(ObjectId id) {
  topics_.erase(id);
  write();
}

void TopicList::replace(std::set<ObjectId> topics) {
  topics_ = std::move(topics);
  write();
}

void TopicList::write() {
  if (topics_ == written_) return;
  if (auto done = write_file_atomically(fs_, path_, encode(topics_)); !done) {
    log_warn("log", "the list of topics is not written", "error={}", done.error().to_string());
    return;
  }
  written_ = topics_;
}

}  // namespace ziwa::log
