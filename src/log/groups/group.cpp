#include "log/groups/group.h"

#include "base/bytes.h"

#include <algorithm>
#include <set>

namespace ziwa::groups {
namespace {

JoinResult join_error(GroupError error, std::string member_id) {
  JoinResult result;
  result.error = error;
  result.member_id = std::move(member_id);
  return result;
}

SyncResult sync_error(GroupError error) {
  SyncResult result;
  result.error = error;
  return result;
}

}  // namespace

std::string_view state_name(GroupState state) {
  switch (state) {
    case GroupState::empty:
      return "Empty";
    case GroupState::preparing_rebalance:
      return "PreparingRebalance";
    case GroupState::completing_rebalance:
      return "CompletingRebalance";
    case GroupState::stable:
      return "Stable";
    case GroupState::dead:
      return "Dead";
  }
  return "Dead";
}

const std::string& Member::metadata(const std::string& protocol) const {
  static const std::string kNone;
  for (const auto& candidate : protocols) {
    if (candidate.name == protocol) return candidate.metadata;
  }
  return kNone;
}

Group::Group(std::string id, const Limits& limits, Persist persist, UniqueText unique_text)
    : id_(std::move(id)),
      limits_(limits),
      persist_(std::move(persist)),
      unique_text_(std::move(unique_text)) {}

Member* Group::find(const std::string& member_id) {
  auto it = members_.find(member_id);
  return it == members_.end() ? nullptr : &it->second;
}

const Member* Group::find(const std::string& member_id) const {
  auto it = members_.find(member_id);
  return it == members_.end() ? nullptr : &it->second;
}

void Group::alive(Member& member, int64_t now_ms) {
  member.session_deadline_ms = now_ms + member.session_timeout_ms;
}

// --- joining

void Group::join(JoinRequest request, int64_t now_ms, JoinDone done) {
  if (request.session_timeout_ms < limits_.session_timeout_min_ms ||
      request.session_timeout_ms > limits_.session_timeout_max_ms) {
    return done(join_error(GroupError::invalid_session_timeout, std::move(request.member_id)));
  }
  auto instance =
      request.instance_id ? static_members_.find(*request.instance_id) : static_members_.end();
  if (!supports(request,
                instance == static_members_.end() ? request.member_id : instance->second)) {
    return done(join_error(GroupError::inconsistent_protocol, std::move(request.member_id)));
  }
  if (request.member_id.empty()) return join_first(std::move(request), now_ms, std::move(done));
  join_known(std::move(request), now_ms, std::move(done));
}

void Group::join_first(JoinRequest request, int64_t now_ms, JoinDone done) {
  if (request.instance_id && static_members_.contains(*request.instance_id)) {
    return replace_static_member(std::move(request), now_ms, std::move(done));
  }
  if (members_.size() + pending_.size() >= limits_.members_max) {
    return done(join_error(GroupError::group_full, ""));
  }
  std::string member_id =
      (request.instance_id ? *request.instance_id : request.client_id) + "-" + unique_text_();
  if (!request.instance_id && request.require_member_id) {
    pending_[member_id] = now_ms + request.session_timeout_ms;
    return done(join_error(GroupError::member_id_required, std::move(member_id)));
  }
  add_member(std::move(request), std::move(member_id), now_ms, std::move(done));
}

void Group::join_known(JoinRequest request, int64_t now_ms, JoinDone done) {
  if (pending_.erase(request.member_id) != 0) {
    std::string member_id = request.member_id;
    return add_member(std::move(request), std::move(member_id), now_ms, std::move(done));
  }
  GroupError error = check_claim(
      {.group_id = id_, .member_id = request.member_id, .instance_id = request.instance_id});
  if (error != GroupError::none) return done(join_error(error, std::move(request.member_id)));
  Member& member = *find(request.member_id);
  const bool unchanged = member.protocols == request.protocols;
  switch (state_) {
    case GroupState::preparing_rebalance:
      break;
    case GroupState::completing_rebalance:
      // The answer to its join was lost: give it again.
      if (unchanged) return done(current(member));
      break;
    case GroupState::stable:
      if (unchanged && member.id != leader_) return done(current(member));
      break;
    case GroupState::empty:
    case GroupState::dead:
      return done(join_error(GroupError::unknown_member, std::move(request.member_id)));
  }
  update_and_rebalance(member, std::move(request), now_ms, std::move(done));
}

void Group::add_member(JoinRequest request, std::string member_id, int64_t now_ms, JoinDone done) {
  Member& member = members_[member_id];
  member.id = std::move(member_id);
  member.client_id = std::move(request.client_id);
  member.client_host = std::move(request.client_host);
  member.instance_id = request.instance_id;
  if (member.instance_id) static_members_[*member.instance_id] = member.id;
  if (members_.size() == 1) protocol_type_ = request.protocol_type;
  if (leader_.empty()) leader_ = member.id;
  if (state_ == GroupState::preparing_rebalance && complete_not_before_ms_ > now_ms) {
    complete_not_before_ms_ =
        std::min(now_ms + limits_.initial_rebalance_delay_ms, initial_deadline_ms_);
  }
  update_and_rebalance(member, std::move(request), now_ms, std::move(done));
}

void Group::update_and_rebalance(Member& member, JoinRequest request, int64_t now_ms,
                                 JoinDone done) {
  member.session_timeout_ms = request.session_timeout_ms;
  member.rebalance_timeout_ms = request.rebalance_timeout_ms;
  member.protocols = std::move(request.protocols);
  alive(member, now_ms);
  if (member.join)
    member.join(join_error(GroupError::rebalance_in_progress, member.id));  // Asked again since.
  member.join = std::move(done);
  if (state_ != GroupState::preparing_rebalance) prepare_rebalance(now_ms);
  maybe_complete(now_ms);
}

void Group::replace_static_member(JoinRequest request, int64_t now_ms, JoinDone done) {
  const std::string old_id = static_members_.at(*request.instance_id);
  const std::string old_leader = leader_;
  auto node = members_.extract(old_id);
  Member& member = node.mapped();
  if (member.join) std::exchange(member.join, {})(join_error(GroupError::fenced_instance, old_id));
  if (member.sync) std::exchange(member.sync, {})(sync_error(GroupError::fenced_instance));
  member.id = *request.instance_id + "-" + unique_text_();
  node.key() = member.id;
  static_members_[*request.instance_id] = member.id;
  if (leader_ == old_id) leader_ = member.id;
  members_.insert(std::move(node));
  member.client_id = request.client_id;
  member.client_host = request.client_host;
  if (state_ == GroupState::stable)
    return answer_replaced(member, request, old_leader, now_ms, std::move(done));
  update_and_rebalance(member, std::move(request), now_ms, std::move(done));
}

void Group::answer_replaced(Member& member, const JoinRequest& request,
                            const std::string& old_leader, int64_t now_ms, JoinDone done) {
  member.protocols = request.protocols;
  member.session_timeout_ms = request.session_timeout_ms;
  member.rebalance_timeout_ms = request.rebalance_timeout_ms;
  if (select_protocol() != protocol_name_)
    return update_and_rebalance(member, request, now_ms, std::move(done));
  // The same instance came back and nothing else changed: it keeps its partitions without a
  // rebalance.
  alive(member, now_ms);
  JoinResult result = current(member);
  if (!request.can_skip_assignment) {
    result.leader_id = old_leader;  // So that an old client does not share out anew.
    result.members.clear();
  }
  result.skip_assignment = request.can_skip_assignment && member.id == leader_;
  persist_(*this,
           [done = std::move(done), result = std::move(result)](bool durable, int64_t) mutable {
             if (!durable) return done(join_error(GroupError::storage_failed, result.member_id));
             done(std::move(result));
           });
}

bool Group::supports(const JoinRequest& request, const std::string& except_member) const {
  if (request.protocol_type.empty() || request.protocols.empty()) return false;
  const bool alone = members_.empty() || (members_.size() == 1 && members_.contains(except_member));
  if (alone) return true;
  if (request.protocol_type != protocol_type_) return false;
  return std::ranges::any_of(request.protocols, [&](const GroupProtocol& protocol) {
    return std::ranges::all_of(members_, [&](const auto& entry) {
      if (entry.first == except_member) return true;
      return std::ranges::any_of(entry.second.protocols,
                                 [&](const auto& other) { return other.name == protocol.name; });
    });
  });
}

std::string Group::select_protocol() const {
  // Each member votes for the first of its protocols that all members know.
  std::map<std::string, size_t> votes;
  for (const auto& [id, member] : members_) {
    for (const auto& protocol : member.protocols) {
      const bool known_to_all = std::ranges::all_of(members_, [&](const auto& other) {
        return std::ranges::any_of(other.second.protocols,
                                   [&](const auto& p) { return p.name == protocol.name; });
      });
      if (known_to_all) {
        ++votes[protocol.name];
        break;
      }
    }
  }
  if (votes.empty()) return {};
  return std::ranges::max_element(votes, {}, [](const auto& vote) { return vote.second; })->first;
}

JoinResult Group::current(const Member& member) const {
  JoinResult result;
  result.generation = generation_;
  result.protocol_type = protocol_type_;
  result.protocol_name = protocol_name_;
  result.leader_id = leader_;
  result.member_id = member.id;
  if (member.id != leader_) return result;
  for (const auto& [id, other] : members_) {
    result.members.push_back({.member_id = id,
                              .instance_id = other.instance_id,
                              .metadata = other.metadata(protocol_name_)});
  }
  return result;
}

// --- rebalancing

void Group::prepare_rebalance(int64_t now_ms) {
  if (state_ == GroupState::completing_rebalance) {
    distributing_ = false;
    for (auto& [id, member] : members_) {
      member.assignment.clear();
      if (!member.sync) continue;
      alive(member, now_ms);
      std::exchange(member.sync, {})(sync_error(GroupError::rebalance_in_progress));
    }
  }
  int32_t timeout_ms = 0;
  for (const auto& [id, member] : members_)
    timeout_ms = std::max(timeout_ms, member.rebalance_timeout_ms);
  rebalance_deadline_ms_ = now_ms + timeout_ms;
  complete_not_before_ms_ = 0;
  if (state_ == GroupState::empty) {
    initial_deadline_ms_ = rebalance_deadline_ms_;
    complete_not_before_ms_ =
        std::min(now_ms + limits_.initial_rebalance_delay_ms, initial_deadline_ms_);
  }
  state_ = GroupState::preparing_rebalance;
}

void Group::maybe_complete(int64_t now_ms) {
  if (state_ != GroupState::preparing_rebalance || now_ms < complete_not_before_ms_) return;
  const bool all_joined = pending_.empty() && std::ranges::all_of(members_, [](const auto& entry) {
                            return bool(entry.second.join);
                          });
  if (all_joined || now_ms >= rebalance_deadline_ms_) complete_rebalance(now_ms);
}

void Group::remove_who_did_not_join() {
  std::vector<std::string> gone;
  for (const auto& [id, member] : members_) {
    if (!member.join && !member.instance_id) gone.push_back(id);
  }
  for (const auto& id : gone) remove_member(id);
  pending_.clear();
}

void Group::complete_rebalance(int64_t now_ms) {
  remove_who_did_not_join();
  const bool anyone =
      std::ranges::any_of(members_, [](const auto& entry) { return bool(entry.second.join); });
  if (!members_.empty() && !anyone) {
    // Only static members are left, and none is back yet: their sessions decide.
    rebalance_deadline_ms_ = now_ms + members_.begin()->second.rebalance_timeout_ms;
    return;
  }
  if (Member* leader = find(leader_); anyone && (leader == nullptr || !leader->join)) {
    leader_ = std::ranges::find_if(members_, [](const auto& entry) {
                return bool(entry.second.join);
              })->first;
  }
  ++generation_;
  protocol_name_ = select_protocol();
  if (members_.empty()) {
    state_ = GroupState::empty;
    leader_.clear();
    persist_(*this, [](bool, int64_t) {
    });  // An answer waits for nobody; a lost generation number is harmless.
    return;
  }
  state_ = GroupState::completing_rebalance;
  answer_joins(now_ms);
}

void Group::answer_joins(int64_t now_ms) {
  sync_deadline_ms_ = now_ms;
  for (auto& [id, member] : members_) {
    sync_deadline_ms_ = std::max(sync_deadline_ms_, now_ms + member.rebalance_timeout_ms);
    if (!member.join) continue;
    alive(member, now_ms);
    std::exchange(member.join, {})(current(member));
  }
}

// --- syncing

void Group::sync(SyncRequest request, int64_t now_ms, SyncDone done) {
  GroupError error = check_claim(request.claim);
  if (error == GroupError::none && request.claim.generation != generation_)
    error = GroupError::illegal_generation;
  if (error != GroupError::none) return done(sync_error(error));
  const bool other_protocol = (request.protocol_type && *request.protocol_type != protocol_type_) ||
                              (request.protocol_name && *request.protocol_name != protocol_name_);
  if (other_protocol) return done(sync_error(GroupError::inconsistent_protocol));
  Member& member = *find(request.claim.member_id);
  alive(member, now_ms);
  if (state_ == GroupState::preparing_rebalance)
    return done(sync_error(GroupError::rebalance_in_progress));
  if (state_ == GroupState::stable) {
    return done({.protocol_type = protocol_type_,
                 .protocol_name = protocol_name_,
                 .assignment = member.assignment});
  }
  if (state_ != GroupState::completing_rebalance)
    return done(sync_error(GroupError::unknown_member));
  if (member.sync) std::exchange(member.sync, {})(sync_error(GroupError::rebalance_in_progress));
  member.sync = std::move(done);
  if (member.id == leader_ && !distributing_) distribute(request.assignments);
}

void Group::distribute(const std::vector<SyncRequest::Assignment>& assignments) {
  for (auto& [id, member] : members_) member.assignment.clear();
  for (const auto& item : assignments) {
    if (Member* member = find(item.member_id)) member->assignment = item.assignment;
  }
  distributing_ = true;
  persist_(*this, [this, generation = generation_](bool durable, int64_t now_ms) {
    finish_sync(generation, durable, now_ms);
  });
}

void Group::finish_sync(int32_t generation, bool durable, int64_t now_ms) {
  // A rebalance may have begun while the assignment was written; then it has answered everybody.
  if (!distributing_ || state_ != GroupState::completing_rebalance || generation != generation_)
    return;
  distributing_ = false;
  if (!durable) {
    for (auto& [id, member] : members_) {
      member.assignment.clear();
      if (member.sync) std::exchange(member.sync, {})(sync_error(GroupError::storage_failed));
    }
    prepare_rebalance(now_ms);
    return;
  }
  state_ = GroupState::stable;
  for (auto& [id, member] : members_) {
    if (!member.sync) continue;
    alive(member, now_ms);
    std::exchange(member.sync, {})({.protocol_type = protocol_type_,
                                    .protocol_name = protocol_name_,
                                    .assignment = member.assignment});
  }
}

// --- living and leaving

GroupError Group::check_claim(const MemberClaim& claim) const {
  if (claim.instance_id) {
    auto it = static_members_.find(*claim.instance_id);
    if (it == static_members_.end()) return GroupError::unknown_member;
    if (it->second != claim.member_id) return GroupError::fenced_instance;
  }
  return members_.contains(claim.member_id) ? GroupError::none : GroupError::unknown_member;
}

GroupError Group::heartbeat(const MemberClaim& claim, int64_t now_ms) {
  GroupError error = check_claim(claim);
  if (error != GroupError::none) return error;
  if (claim.generation != generation_) return GroupError::illegal_generation;
  alive(*find(claim.member_id), now_ms);
  return state_ == GroupState::preparing_rebalance ? GroupError::rebalance_in_progress
                                                   : GroupError::none;
}

GroupError Group::leave(const LeavingMember& leaving, int64_t now_ms) {
  if (pending_.erase(leaving.member_id) != 0) {
    maybe_complete(now_ms);
    return GroupError::none;
  }
  std::string member_id = leaving.member_id;
  if (leaving.instance_id) {
    auto it = static_members_.find(*leaving.instance_id);
    if (it == static_members_.end()) return GroupError::unknown_member;
    if (!member_id.empty() && it->second != member_id) return GroupError::fenced_instance;
    member_id = it->second;
  }
  if (!members_.contains(member_id)) return GroupError::unknown_member;
  remove_and_rebalance(member_id, now_ms);
  return GroupError::none;
}

GroupError Group::check_commit(const MemberClaim& claim, int64_t now_ms) {
  if (claim.generation < 0 && state_ == GroupState::empty)
    return GroupError::none;  // A client that assigns itself.
  GroupError error = check_claim(claim);
  if (error != GroupError::none) return error;
  if (claim.generation != generation_) return GroupError::illegal_generation;
  if (state_ == GroupState::completing_rebalance) return GroupError::rebalance_in_progress;
  alive(*find(claim.member_id), now_ms);
  return GroupError::none;
}

void Group::remove_member(const std::string& member_id) {
  auto node = members_.extract(member_id);
  if (node.empty()) return;
  Member& member = node.mapped();
  if (member.instance_id) static_members_.erase(*member.instance_id);
  if (leader_ == member_id) leader_ = members_.empty() ? "" : members_.begin()->first;
  if (member.join) member.join(join_error(GroupError::unknown_member, member_id));
  if (member.sync) member.sync(sync_error(GroupError::unknown_member));
}

void Group::remove_and_rebalance(const std::string& member_id, int64_t now_ms) {
  remove_member(member_id);
  if (state_ == GroupState::stable || state_ == GroupState::completing_rebalance)
    prepare_rebalance(now_ms);
  maybe_complete(now_ms);
}

void Group::expire_members(int64_t now_ms) {
  std::vector<std::string> expired;
  for (const auto& [id, member] : members_) {
    const bool missed_sync =
        state_ == GroupState::completing_rebalance && now_ms >= sync_deadline_ms_ && !member.sync;
    if (missed_sync || (!member.waiting() && now_ms >= member.session_deadline_ms))
      expired.push_back(id);
  }
  for (const auto& id : expired) remove_and_rebalance(id, now_ms);
}

void Group::tick(int64_t now_ms) {
  std::erase_if(pending_, [&](const auto& entry) { return now_ms >= entry.second; });
  expire_members(now_ms);
  maybe_complete(now_ms);
}

void Group::close(GroupError error) {
  for (auto& [id, member] : members_) {
    if (member.join) std::exchange(member.join, {})(join_error(error, id));
    if (member.sync) std::exchange(member.sync, {})(sync_error(error));
  }
  members_.clear();
  static_members_.clear();
  pending_.clear();
  state_ = GroupState::dead;
}

GroupDescription Group::describe() const {
  GroupDescription result{
      .group_id = id_, .state = state_, .protocol_type = protocol_type_, .generation = generation_};
  if (state_ == GroupState::stable) result.protocol_name = protocol_name_;
  for (const auto& [id, member] : members_) {
    result.members.push_back({.member_id = id,
                              .instance_id = member.instance_id,
                              .client_id = member.client_id,
                              .client_host = member.client_host,
                              .metadata = member.metadata(protocol_name_),
                              .assignment = member.assignment});
  }
  return result;
}

// --- storage; see docs/formats/groups.md

namespace {

constexpr uint8_t kGroupFormat = 1;

void put_optional(ByteWriter& out, const std::optional<std::string>& text) {
  out.le<uint8_t>(text ? 1 : 0);
  if (text) out.sized(*text);
}

std::optional<std::string> get_optional(ByteReader& in) {
  if (in.le<uint8_t>() == 0) return std::nullopt;
  return std::string(in.sized());
}

}  // namespace

std::string Group::encode() const {
  ByteWriter out;
  out.le(kGroupFormat);
  out.svarint(generation_);
  out.sized(protocol_type_);
  out.sized(protocol_name_);
  out.sized(leader_);
  out.varint(members_.size());
  for (const auto& [id, member] : members_) {
    out.sized(id);
    put_optional(out, member.instance_id);
    out.sized(member.client_id);
    out.sized(member.client_host);
    out.svarint(member.session_timeout_ms);
    out.svarint(member.rebalance_timeout_ms);
    out.varint(member.protocols.size());
    for (const auto& protocol : member.protocols) {
      out.sized(protocol.name);
      out.sized(protocol.metadata);
    }
    out.sized(member.assignment);
  }
  return std::string(as_text(out.view()));
}

bool Group::decode(std::string_view bytes, int64_t now_ms) {
  ByteReader in(as_bytes(bytes));
  if (in.le<uint8_t>() != kGroupFormat) return false;
  generation_ = static_cast<int32_t>(in.svarint());
  protocol_type_ = in.sized();
  protocol_name_ = in.sized();
  leader_ = in.sized();
  const uint64_t count = in.varint();
  for (uint64_t i = 0; i < count && in.ok(); ++i) {
    Member member;
    member.id = in.sized();
    member.instance_id = get_optional(in);
    member.client_id = in.sized();
    member.client_host = in.sized();
    member.session_timeout_ms = static_cast<int32_t>(in.svarint());
    member.rebalance_timeout_ms = static_cast<int32_t>(in.svarint());
    const uint64_t protocols = in.varint();
    for (uint64_t p = 0; p < protocols && in.ok(); ++p) {
      std::string name(in.sized());
      member.protocols.push_back({.name = std::move(name), .metadata = std::string(in.sized())});
    }
    member.assignment = in.sized();
    alive(member, now_ms);
    if (member.instance_id) static_members_[*member.instance_id] = member.id;
    members_.emplace(member.id, std::move(member));
  }
  state_ = members_.empty() ? GroupState::empty : GroupState::stable;
  return in.ok();
}

}  // namespace ziwa::groups
