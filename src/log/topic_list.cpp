#include "base/bytes.h"
#include "base/checksum.h"
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
  return Error(Code::corrupt, "{} is damaged: {}", path_, why)
      .with_hint("restore the data directory from a backup; nothing was changed");
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
                 path_, version, kVersion);
  }
  if (version == 0) return damaged("no format");
  ByteView rest = ByteView(*bytes).subspan(kHeaderBytes);
  if (crc32c(rest) != load_le<uint32_t>(bytes->data() + 8)) {
    return damaged("its checksum is another");
  }
  ByteReader in(rest);
  for (uint64_t count = in.varint(); count > 0 && in.ok(); --count) topics_.emplace(in.varint());
  return in.status(path_);
}

Status TopicList::replace(std::set<ObjectId> topics) {
  if (topics == topics_) return {};
  TRY(write_file_atomically(fs_, path_, encode(topics)));
  topics_ = std::move(topics);
  return {};
}

Status TopicList::add(ObjectId id) {
  auto topics = topics_;
  topics.insert(id);
  return replace(std::move(topics));
}

Status TopicList::remove(ObjectId id) {
  auto topics = topics_;
  topics.erase(id);
  return replace(std::move(topics));
}

}  // namespace ziwa::log
