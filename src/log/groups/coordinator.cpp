#include "log/groups/coordinator.h"

#include "base/log.h"

#include <algorithm>

namespace ziwa::groups {
namespace {

constexpr int64_t kExpiryEveryMs = 60'000;

}  // namespace

Coordinator::Coordinator(const Clock& clock, Storage& storage, Options options)
    : clock_(clock),
      storage_(storage),
      options_(std::move(options)),
      next_expiry_ms_(now_ms() + kExpiryEveryMs) {
  CHECK(options_.unique_text, "member ids need a source of unique texts");
}

Coordinator::~Coordinator() {
  for (auto& [id, entry] : groups_) entry.group->close(GroupError::unknown_member);
}

Coordinator::Entry* Coordinator::find(const std::string& group_id) {
  auto it = groups_.find(group_id);
  return it == groups_.end() ? nullptr : &it->second;
}

const Coordinator::Entry* Coordinator::find(const std::string& group_id) const {
  auto it = groups_.find(group_id);
  return it == groups_.end() ? nullptr : &it->second;
}

std::shared_ptr<Group> Coordinator::make_group(const std::string& group_id) {
  return std::make_shared<Group>(
      group_id, options_.group,
      [this](Group& group, Group::Persisted done) { persist(group, std::move(done)); },
      options_.unique_text);
}

Coordinator::Entry* Coordinator::find_or_create(const std::string& group_id) {
  if (Entry* entry = find(group_id)) return entry;
  if (groups_.size() >= options_.groups_max) return nullptr;
  Entry& entry = groups_[group_id];
  entry.group = make_group(group_id);
  entry.last_used = clock_.now();
  return &entry;
}

void Coordinator::persist(Group& group, Group::Persisted done) {
  Changes changes;
  changes.puts.emplace_back(group_key(group.id()), group.encode());
  Entry* entry = find(group.id());
  std::shared_ptr<Group> keep = entry ? entry->group : nullptr;
  // The group stays alive until it has been told, even if it is removed meanwhile.
  write(std::move(changes), [this, keep, done = std::move(done)](Status status) mutable {
    if (!status)
      log_error("groups", "cannot store a group", "reason={}", status.error().to_string());
    done(status.has_value(), now_ms());
  });
}

void Coordinator::write(Changes changes, std::move_only_function<void(Status)> done) {
  storage_.write(std::move(changes), [alive = std::weak_ptr<bool>(alive_),
                                      done = std::move(done)](Status status) mutable {
    if (!alive.expired()) done(std::move(status));
  });
}

void Coordinator::drop_if_unused(const std::string& group_id) {
  Entry* entry = find(group_id);
  if (entry == nullptr || entry->group->has_members() || entry->group->generation() != 0) return;
  if (entry->offsets.empty()) groups_.erase(group_id);
}

// --- members

void Coordinator::join(JoinRequest request, JoinDone done) {
  auto refuse = [&](GroupError error) {
    JoinResult result;
    result.error = error;
    result.member_id = request.member_id;
    done(std::move(result));
  };
  if (request.group_id.empty()) return refuse(GroupError::invalid_group_id);
  if (!request.member_id.empty() && find(request.group_id) == nullptr)
    return refuse(GroupError::unknown_member);
  Entry* entry = find_or_create(request.group_id);
  if (entry == nullptr) return refuse(GroupError::too_many_groups);
  entry->last_used = clock_.now();
  const std::string group_id = request.group_id;
  entry->group->join(std::move(request), now_ms(), std::move(done));
  drop_if_unused(group_id);
}

void Coordinator::sync(SyncRequest request, SyncDone done) {
  Entry* entry = find(request.claim.group_id);
  if (entry == nullptr) {
    SyncResult result;
    result.error =
        request.claim.group_id.empty() ? GroupError::invalid_group_id : GroupError::unknown_member;
    return done(std::move(result));
  }
  entry->group->sync(std::move(request), now_ms(), std::move(done));
}

GroupError Coordinator::heartbeat(const MemberClaim& claim) {
  if (claim.group_id.empty()) return GroupError::invalid_group_id;
  Entry* entry = find(claim.group_id);
  return entry == nullptr ? GroupError::unknown_member : entry->group->heartbeat(claim, now_ms());
}

std::vector<GroupError> Coordinator::leave(const std::string& group_id,
                                           const std::vector<LeavingMember>& leaving) {
  std::vector<GroupError> errors;
  Entry* entry = find(group_id);
  for (const auto& member : leaving) {
    errors.push_back(entry == nullptr ? GroupError::unknown_member
                                      : entry->group->leave(member, now_ms()));
  }
  if (entry != nullptr) entry->last_used = clock_.now();
  return errors;
}

// --- offsets

void Coordinator::commit(const MemberClaim& claim, std::vector<GroupOffset> offsets,
                         std::move_only_function<void(GroupError)> done) {
  if (claim.group_id.empty()) return done(GroupError::invalid_group_id);
  Entry* entry = find(claim.group_id);
  if (entry == nullptr) {
    // Only a client that assigns itself may commit to a group that nobody has joined.
    if (claim.generation >= 0) return done(GroupError::illegal_generation);
    entry = find_or_create(claim.group_id);
  }
  if (entry == nullptr || offset_count_ + offsets.size() > options_.offsets_max)
    return done(GroupError::too_many_groups);
  GroupError error = entry->group->check_commit(claim, now_ms());
  if (error != GroupError::none || offsets.empty()) return done(error);
  store_offsets(claim.group_id, std::move(offsets), std::move(done));
}

void Coordinator::store_offsets(const std::string& group_id, std::vector<GroupOffset> offsets,
                                std::move_only_function<void(GroupError)> done) {
  Changes changes;
  for (auto& offset : offsets) {
    offset.committed = clock_.now();
    changes.puts.emplace_back(offset_key(group_id, offset.partition), encode_offset(offset));
  }
  write(std::move(changes), [this, group_id, offsets = std::move(offsets),
                             done = std::move(done)](Status status) mutable {
    if (!status) {
      log_error("groups", "cannot store offsets", "group={} reason={}", group_id,
                status.error().to_string());
      return done(GroupError::storage_failed);
    }
    apply_offsets(group_id, std::move(offsets));
    done(GroupError::none);
  });
}

void Coordinator::apply_offsets(const std::string& group_id, std::vector<GroupOffset> offsets) {
  Entry* entry = find(group_id);
  if (entry == nullptr) return;  // Removed meanwhile; the removal is written after the offsets.
  entry->last_used = clock_.now();
  for (auto& offset : offsets) {
    if (entry->offsets.insert_or_assign(offset.partition, std::move(offset)).second)
      ++offset_count_;
  }
}

std::vector<GroupOffset> Coordinator::offsets(const std::string& group_id) const {
  std::vector<GroupOffset> result;
  if (const Entry* entry = find(group_id)) {
    for (const auto& [partition, offset] : entry->offsets) result.push_back(offset);
  }
  return result;
}

std::optional<GroupOffset> Coordinator::offset(const std::string& group_id,
                                               PartitionId partition) const {
  const Entry* entry = find(group_id);
  if (entry == nullptr) return std::nullopt;
  auto it = entry->offsets.find(partition);
  if (it == entry->offsets.end()) return std::nullopt;
  return it->second;
}

void Coordinator::forget(const std::string& group_id, const std::vector<PartitionId>& partitions,
                         std::move_only_function<void(GroupError)> done) {
  Entry* entry = find(group_id);
  if (entry == nullptr) return done(GroupError::group_not_found);
  if (entry->group->has_members()) return done(GroupError::group_not_empty);
  Changes changes;
  for (const auto& partition : partitions) {
    offset_count_ -= entry->offsets.erase(partition);
    changes.removes.push_back(offset_key(group_id, partition));
  }
  write(std::move(changes), [done = std::move(done)](Status status) mutable {
    done(status ? GroupError::none : GroupError::storage_failed);
  });
}

void Coordinator::forget_topics(const std::function<bool(ObjectId)>& exists) {
  Changes changes;
  for (auto& [id, entry] : groups_) {
    offset_count_ -= std::erase_if(entry.offsets, [&](const auto& item) {
      if (exists(item.first.topic)) return false;
      changes.removes.push_back(offset_key(id, item.first));
      return true;
    });
  }
  if (changes.removes.empty()) return;
  write(std::move(changes), [](Status status) {
    // Left-over offsets name topic ids that are never used again; the next start drops them.
    status.ignore("harmless");
  });
}

// --- administration

std::vector<GroupDescription> Coordinator::list() const {
  std::vector<GroupDescription> result;
  for (const auto& [id, entry] : groups_) {
    result.push_back({.group_id = id,
                      .state = entry.group->state(),
                      .protocol_type = entry.group->protocol_type()});
  }
  return result;
}

GroupDescription Coordinator::describe(const std::string& group_id) const {
  const Entry* entry = find(group_id);
  if (entry == nullptr) return {.group_id = group_id};
  return entry->group->describe();
}

Changes Coordinator::removal(const std::string& group_id) const {
  Changes changes;
  changes.removes.push_back(group_key(group_id));
  changes.prefix_removes.push_back(offset_prefix(group_id));
  return changes;
}

void Coordinator::remove(const std::string& group_id,
                         std::move_only_function<void(GroupError)> done) {
  if (group_id.empty()) return done(GroupError::invalid_group_id);
  Entry* entry = find(group_id);
  if (entry == nullptr) return done(GroupError::group_not_found);
  if (entry->group->has_members()) return done(GroupError::group_not_empty);
  offset_count_ -= entry->offsets.size();
  groups_.erase(group_id);
  write(removal(group_id), [done = std::move(done)](Status status) mutable {
    done(status ? GroupError::none : GroupError::storage_failed);
  });
}

// --- time

void Coordinator::tick() {
  for (auto& [id, entry] : groups_) {
    if (entry.group->has_members()) entry.group->tick(now_ms());
  }
  if (now_ms() >= next_expiry_ms_) expire_groups();
}

void Coordinator::expire_groups() {
  next_expiry_ms_ = now_ms() + kExpiryEveryMs;
  const int64_t horizon = clock_.now().value - options_.retention_ms;
  std::vector<std::string> expired;
  for (const auto& [id, entry] : groups_) {
    if (!entry.group->has_members() && entry.last_used.value < horizon) expired.push_back(id);
  }
  for (const auto& id : expired) {
    log_info("groups", "an unused group is forgotten", "group={}", id);
    remove(id, [](GroupError) {});  // If storing failed, the next start tries again.
  }
}

bool Coordinator::busy() const {
  return std::ranges::any_of(groups_,
                             [](const auto& entry) { return entry.second.group->has_members(); });
}

// --- loading

Status Coordinator::load_entry(std::string_view key, std::string_view value) {
  if (key.starts_with('g')) {
    std::string id = TRY(decode_group_key(key));
    Entry& entry = groups_[id];
    if (!entry.group) entry.group = make_group(id);
    entry.last_used = clock_.now();
    if (!entry.group->decode(value, now_ms()))
      return Error(Code::corrupt, "group \"{}\" is stored in an unknown form", id);
  } else if (key.starts_with('o')) {
    auto [id, offset] = TRY(decode_offset(key, value));
    Entry& entry = groups_[id];
    if (!entry.group) entry.group = make_group(id);
    entry.last_used = std::max(entry.last_used, offset.committed);
    entry.offsets[offset.partition] = std::move(offset);
    ++offset_count_;
  }
  return {};  // Other keys are not the coordinator's.
}

Status Coordinator::load(state::Store& store) {
  auto cursor = store.cursor(store.table("groups"));
  for (cursor->seek(""); cursor->valid(); cursor->next())
    TRY(load_entry(cursor->key(), cursor->value()));
  return cursor->status();
}

}  // namespace ziwa::groups
