#include "stream/session.h"

#include "base/bytes.h"

#include <algorithm>

namespace ziwa::stream {
namespace {

constexpr char kRowTag = 'r';
constexpr size_t kTimeBytes = 8;
constexpr size_t kRowOverheadBytes = 128;
constexpr uint64_t kSign = uint64_t{1} << 63;

/// Sorts as the time does.
void append_time(int64_t time_us, std::string& out) {
  char bytes[kTimeBytes];
  store_be<uint64_t>(bytes, static_cast<uint64_t>(time_us) ^ kSign);
  out.append(bytes, sizeof bytes);
}

int64_t time_of(std::string_view key) {
  return static_cast<int64_t>(load_be<uint64_t>(key.data()) ^ kSign);
}

}  // namespace

Result<std::unique_ptr<Session>> Session::create(StageContext& context, uint32_t node_id,
                                                 const SessionNode& node,
                                                 const std::vector<PlanColumn>& input,
                                                 const std::vector<PlanColumn>& output,
                                                 std::optional<ObjectId> topic) {
  std::vector<Expression> expressions = node.partition_by;
  expressions.push_back(node.time);
  auto evaluator = TRY(Evaluator::compile(context, node_id, input, expressions));
  auto partition_types = evaluator->types();
  const auto time_type = partition_types.back();
  partition_types.pop_back();
  if (!is_timestamp(time_type)) {
    return Error(Code::unsupported, "a session by {}, which is a {}, not a TIMESTAMP", node.time,
                 time_type.ToString());
  }
  auto input_types = TRY(parse_types(input));
  auto output_types = TRY(parse_types(output));
  auto expected = input_types;
  expected.insert(expected.end(), 2, time_type);
  if (expected != output_types) {
    return Error(Code::invalid_argument, "a session does not add its start and end as {}",
                 time_type.ToString());
  }
  std::unique_ptr<Session> session(new Session(context, node_id, node,
                                               TRY(data::RowKeyEncoder::create(partition_types)),
                                               TRY(data::RowEncoder::create(input_types)), topic));
  for (size_t i = 0; i < partition_types.size(); ++i) session->partition_columns_.push_back(i);
  for (size_t i = 0; i < input.size(); ++i) {
    session->row_columns_.push_back(i);
    session->targets_.push_back(static_cast<data::ColumnTarget>(i));
  }
  session->evaluator_ = std::move(evaluator);
  session->output_.Initialize(duckdb::Allocator::DefaultAllocator(), output_types);
  return session;
}

Status Session::consume(size_t, Delta& delta) {
  Delta rows = TRY(evaluator_->run(delta));
  if (rows.size() == 0) return {};
  auto& computed = evaluator_->output();
  partition_encoder_.encode(computed, partition_columns_, partition_keys_);
  row_encoder_.encode(rows.rows, row_columns_, row_bytes_);
  duckdb::UnifiedVectorFormat format;
  computed.data.back().ToUnifiedFormat(rows.size(), format);
  const auto* times = reinterpret_cast<const int64_t*>(format.data);
  for (size_t row = 0; row < rows.size(); ++row) {
    auto index = format.sel->get_index(row);
    if (!format.validity.RowIsValid(index)) {
      TRY(show(row_bytes_[row], std::nullopt, rows.weight(row)));
    } else {
      TRY(take(rows, row, times[index]));
    }
  }
  return {};
}

Session::Partition& Session::partition_of(std::string_view name) {
  auto at = partitions_.find(name);
  if (at == partitions_.end()) at = partitions_.emplace(name, Partition()).first;
  if (at->second.touched.empty()) touched_.push_back(at);
  return at->second;
}

Status Session::take(const Delta& rows, size_t row, int64_t time_us) {
  int64_t end = 0;
  int64_t before = 0;
  if (!duckdb::Timestamp::IsFinite(duckdb::timestamp_t(time_us)))
    return show(row_bytes_[row], Bounds{time_us, time_us}, rows.weight(row));
  if (__builtin_add_overflow(time_us, node_.gap_us, &end) ||
      __builtin_sub_overflow(time_us, node_.gap_us, &before)) {
    evaluator_->fail(rows, row, "a session of this time is outside of what a TIMESTAMP can say");
    return {};
  }
  auto name = node_.partition_by.empty() ? std::string_view() : partition_keys_[row];
  if (topic_) {
    auto known = partitions_.find(name);
    static const Partition kNone;
    if (is_late(known == partitions_.end() ? kNone : known->second, rows, row, time_us)) return {};
  }
  Partition& partition = partition_of(name);
  partition.touched.push_back(time_us);
  if (topic_) join_session(partition, time_us);
  key_.clear();
  append_time(time_us, key_);
  key_.append(row_bytes_[row]);
  auto entry = partition.rows.lower_bound(key_);
  if (entry == partition.rows.end() || entry->first != key_) {
    entry = partition.rows.emplace_hint(entry, key_, Entry());
    bytes_ += key_.size() + kRowOverheadBytes;
  }
  entry->second.weight += rows.weight(row);
  return {};
}

bool Session::is_closed(int64_t end_us, int64_t watermark) const {
  int64_t closes = 0;
  return watermark != kNoWatermark && !__builtin_add_overflow(end_us, node_.lateness_us, &closes) &&
         closes <= watermark;
}

bool Session::is_late(const Partition& partition, const Delta& rows, size_t row, int64_t time_us) {
  if (rows.origin == nullptr) return false;
  const size_t origin_row = rows.origin_row(row);
  const int64_t watermark = rows.origin->watermarks[origin_row];
  const int64_t gap = node_.gap_us;
  bool late = is_closed(time_us + gap, watermark);
  // Sessions that it would join: the one that begins before it, and the one after.
  auto after = partition.sessions.upper_bound(time_us);
  if (after != partition.sessions.begin()) {
    const int64_t last = std::prev(after)->second;
    if (time_us - gap <= last) late = late || is_closed(last + gap, watermark);
  }
  if (after != partition.sessions.end() && after->first - gap <= time_us) {
    late = late || is_closed(after->second + gap, watermark);
  }
  if (late && context_.late != nullptr)
    context_.late->add(node_id_, *rows.origin, origin_row,
                       WindowSpan{.start_us = time_us, .end_us = time_us + gap});
  return late;
}

void Session::join_session(Partition& partition, int64_t time_us) {
  auto& sessions = partition.sessions;
  int64_t first = time_us;
  int64_t last = time_us;
  auto at = sessions.upper_bound(time_us);
  if (at != sessions.end() && at->first - node_.gap_us <= last) {
    last = std::max(last, at->second);
    at = sessions.erase(at);
  }
  if (at != sessions.begin()) {
    auto before = std::prev(at);
    if (first - node_.gap_us <= before->second) {
      before->second = std::max(last, before->second);
      return;
    }
  }
  sessions.emplace_hint(at, first, last);
}

Status Session::finish() {
  for (auto at : touched_) {
    if (at->second.unsaved.empty()) unsaved_.push_back(at);
    TRY(settle(at->second));
    if (at->second.unsaved.empty()) unsaved_.pop_back();
  }
  touched_.clear();
  return emit_all(output_, weights_);
}

/// Looks again at the sessions around the times that have changed.
Status Session::settle(Partition& partition) {
  std::ranges::sort(partition.touched);
  auto& rows = partition.rows;
  std::optional<int64_t> done;  // Everything up to this time has been looked at.
  for (int64_t time : partition.touched) {
    if (done && time <= *done) continue;
    key_.clear();
    append_time(time, key_);
    auto from = rows.lower_bound(key_);
    auto to = from;
    for (int64_t near = time; from != rows.begin(); --from) {
      const int64_t before = time_of(std::prev(from)->first);
      if (near - node_.gap_us > before) break;
      near = before;
    }
    for (int64_t near = time; to != rows.end(); ++to) {
      const int64_t after = time_of(to->first);
      if (after - node_.gap_us > near) break;
      near = after;
    }
    if (from == to) continue;
    done = time_of(std::prev(to)->first);
    TRY(settle(partition, from, to));
  }
  partition.touched.clear();
  return {};
}

/// [from, to): whole sessions, and what has left them.
Status Session::settle(Partition& partition, Rows::iterator from, Rows::iterator to) {
  for (auto first = from; first != to;) {
    // Rows without weight hold no session together.
    Bounds bounds;
    bool any = false;
    auto next = first;
    for (; next != to; ++next) {
      if (next->second.weight <= 0) continue;
      const int64_t time = time_of(next->first);
      if (any && time > bounds.end_us) break;
      if (!any) bounds.start_us = time;
      bounds.end_us = time + node_.gap_us;
      any = true;
    }
    for (; first != next; ++first) {
      Entry& entry = first->second;
      if (entry.weight == entry.shown && (entry.weight == 0 || entry.bounds == bounds)) {
        if (entry.weight == 0) mark_unsaved(partition, first);
        continue;
      }
      const auto row = std::string_view(first->first).substr(kTimeBytes);
      if (entry.shown != 0) TRY(show(row, entry.bounds, -entry.shown));
      if (entry.weight != 0) TRY(show(row, bounds, entry.weight));
      entry.shown = entry.weight;
      entry.bounds = bounds;
      mark_unsaved(partition, first);
    }
  }
  return {};
}

void Session::mark_unsaved(Partition& partition, Rows::iterator entry) {
  if (entry->second.unsaved) return;
  entry->second.unsaved = true;
  partition.unsaved.push_back(entry);
}

Status Session::show(std::string_view row, std::optional<Bounds> bounds, Weight weight) {
  const size_t to = output_.size();
  const size_t columns = targets_.size();
  TRY(row_encoder_.decode_columns(row, targets_, output_, to));
  for (size_t i = 0; i < 2; ++i) {
    auto& column = output_.data[columns + i];
    if (bounds) {
      duckdb::FlatVector::GetData<int64_t>(column)[to] = i == 0 ? bounds->start_us : bounds->end_us;
    } else {
      duckdb::FlatVector::SetNull(column, to, true);
    }
  }
  weights_.push_back(weight);
  output_.SetCardinality(to + 1);
  return output_.size() == STANDARD_VECTOR_SIZE ? emit_all(output_, weights_) : Status();
}

// A stored row: varint length of the partition key, partition key, time (8 bytes, sign flipped,
// big-endian) and row -> svarint weight, svarint start and end of its session in microseconds.
Status Session::save(StateWriter& writer) {
  for (auto at : unsaved_) {
    Partition& partition = at->second;
    ByteWriter head;
    head.sized(at->first);
    std::string stored_key(as_text(head.view()));
    const size_t prefix = stored_key.size();
    for (auto row : partition.unsaved) {
      Entry& entry = row->second;
      entry.unsaved = false;
      stored_key.resize(prefix);
      stored_key += row->first;
      if (entry.weight == 0) {
        if (entry.stored) writer.remove(kRowTag, stored_key);
        bytes_ -= row->first.size() + kRowOverheadBytes;
        partition.rows.erase(row);
        continue;
      }
      ByteWriter value;
      value.svarint(entry.weight);
      value.svarint(entry.bounds.start_us);
      value.svarint(entry.bounds.end_us);
      writer.put(kRowTag, stored_key, as_text(value.view()));
      entry.stored = true;
    }
    partition.unsaved.clear();
    if (partition.rows.empty()) partitions_.erase(at);
  }
  unsaved_.clear();
  if (!topic_) return {};
  const int64_t watermark = context_.watermark(*topic_);
  for (auto at = partitions_.begin(); at != partitions_.end();) {
    auto next = std::next(at);
    let_go(at, watermark, writer);
    at = next;
  }
  return {};
}

std::optional<OpenWindow> Session::open_window() const {
  if (!topic_) return std::nullopt;
  const int64_t watermark = context_.watermark(*topic_);
  std::optional<OpenWindow> first;
  for (const auto& [name, partition] : partitions_) {
    for (const auto& [begin, last] : partition.sessions) {
      const int64_t end = last + node_.gap_us;
      if (is_closed(end, watermark)) continue;
      const int64_t closes = end + node_.lateness_us;
      if (!first || closes < first->closes_us)
        first = OpenWindow{.topic = *topic_, .closes_us = closes};
      break;
    }
  }
  return first;
}

/// Forgets the sessions of a partition that no row can touch any more: one that is on time lies
/// less than a gap (and the lateness) behind the watermark.
void Session::let_go(Partitions::iterator at, int64_t watermark, StateWriter& writer) {
  Partition& partition = at->second;
  while (!partition.sessions.empty()) {
    auto oldest = partition.sessions.begin();
    int64_t end = 0;
    if (__builtin_add_overflow(oldest->second, 2 * node_.gap_us, &end) ||
        !is_closed(end, watermark)) {
      break;
    }
    ByteWriter head;
    head.sized(at->first);
    while (!partition.rows.empty() && time_of(partition.rows.begin()->first) <= oldest->second) {
      auto row = partition.rows.begin();
      if (row->second.stored)
        writer.remove(kRowTag, std::string(as_text(head.view())) + row->first);
      bytes_ -= row->first.size() + kRowOverheadBytes;
      partition.rows.erase(row);
    }
    partition.sessions.erase(oldest);
  }
  if (partition.rows.empty()) partitions_.erase(at);
}

Status Session::load(char tag, std::string_view key, std::string_view value) {
  if (tag != kRowTag)
    return Error(Code::corrupt, "a row of a session has the unknown tag {}", int{tag});
  ByteReader head(as_bytes(key));
  auto name = head.sized();
  auto row = key.substr(head.position());
  ByteReader in(as_bytes(value));
  Entry entry{.weight = in.svarint(), .stored = true};
  entry.shown = entry.weight;
  entry.bounds.start_us = in.svarint();
  entry.bounds.end_us = in.svarint();
  if (!head.ok() || !in.ok() || row.size() < kTimeBytes) {
    return Error(Code::corrupt, "a stored row of a session is damaged");
  }
  Partition& partition = partitions_.try_emplace(std::string(name)).first->second;
  if (topic_) join_session(partition, time_of(row));
  bytes_ += row.size() + kRowOverheadBytes;
  partition.rows.emplace_hint(partition.rows.end(), row, entry);
  return {};
}

}  // namespace ziwa::stream
