#include "app/testing/power_clients.h"
#include "log/record_batch.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <set>

// The clients that write records: by the log's own door, as Kafka's would.
namespace ziwa::app::testing {
namespace {

constexpr int kPartitions = 2;
constexpr int64_t kDelayUs = 60'000'000;           // of the watermark of "events"
constexpr int64_t kWindowUs = 60'000'000;          // of the views "windows" and "closed"
constexpr int64_t kGapUs = 20'000'000;             // of the view "sittings"
constexpr int64_t kStartUs = 978'307'200'000'000;  // 2001-01-01

/// Encodes values as one batch.
Bytes encode(const PowerWorld& world, const std::vector<std::string>& values,
             int64_t producer_id = -1, int32_t sequence = -1) {
  std::vector<log::NewRecord> records;
  for (const auto& value : values) {
    records.push_back({.timestamp = world.clock().now(), .value = as_bytes(value)});
  }
  int16_t epoch = producer_id < 0 ? int16_t{-1} : int16_t{0};
  return log::encode_batch(records, producer_id, epoch, sequence);
}

std::string event_json(PowerWorld& world, int64_t id, int64_t time_us) {
  return fmt::format(R"({{"id":{},"kind":"k{}","origin":"o{}","delay":{},"ts":"{}"}})", id,
                     world.random(5), world.random(8), world.random(100),
                     duckdb::Timestamp::ToString(duckdb::timestamp_t(time_us)));
}

/// What the watermark made of the records of "events", from their entries alone.
struct Lateness {
  std::map<std::pair<std::string, int64_t>, std::pair<int64_t, int64_t>> windows;
  std::vector<std::vector<std::string>> late;                 ///< Partition, offset.
  std::map<std::string, std::multiset<int64_t>> in_sessions;  ///< Times, by kind.
  std::optional<int64_t> watermark;
};

/// Calls `visit(first, last, count)` for each session of these times.
template <typename Visit>
void each_session(const std::multiset<int64_t>& times, Visit visit) {
  for (auto first = times.begin(); first != times.end();) {
    auto last = first;
    int64_t count = 1;
    for (auto next = std::next(first); next != times.end() && *next - *last <= kGapUs; ++next) {
      last = next;
      ++count;
    }
    visit(*first, *last, count);
    first = std::next(last);
  }
}

/// Whether a row is late for its session, or for one that it would change.
bool late_for_session(const std::multiset<int64_t>& times, int64_t time, int64_t watermark) {
  bool late = time + kGapUs <= watermark;
  each_session(times, [&](int64_t first, int64_t last, int64_t) {
    const bool touches = time >= first - kGapUs && time <= last + kGapUs;
    late = late || (touches && last + kGapUs <= watermark);
  });
  return late;
}

/// `rows`: entry, partition, offset, time (us), kind, delay; in the order of entries.
Lateness lateness_of(const TextRows& rows) {
  Lateness out;
  std::map<int64_t, int64_t> greatest;  // By partition.
  std::optional<int64_t> watermark;
  for (size_t begin = 0; begin < rows.size();) {
    size_t end = begin;
    for (; end < rows.size() && rows[end][0] == rows[begin][0]; ++end) {
      int64_t time = std::stoll(rows[end][3]);
      int64_t window = time / kWindowUs * kWindowUs;
      auto& session = out.in_sessions[rows[end][4]];
      if (!watermark || !late_for_session(session, time, *watermark)) session.insert(time);
      if (watermark && window + kWindowUs <= *watermark) {
        out.late.push_back({rows[end][1], rows[end][2]});
        continue;
      }
      auto& [count, sum] = out.windows[{rows[end][4], window}];
      ++count;
      sum += std::stoll(rows[end][5]);
    }
    for (; begin < end; ++begin) {
      int64_t time = std::stoll(rows[begin][3]);
      auto& seen = greatest.try_emplace(std::stoll(rows[begin][1]), time).first->second;
      seen = std::max(seen, time);
    }
    if (greatest.size() < kPartitions) continue;
    int64_t least =
        std::ranges::min_element(greatest, {}, [](auto& it) { return it.second; })->second;
    watermark = std::max(watermark.value_or(least - kDelayUs), least - kDelayUs);
  }
  std::ranges::sort(out.late);
  out.watermark = watermark;
  return out;
}

class EventClient final : public PowerClient {
 public:
  void act(PowerWorld& world) override {
    auto topic = world.find("events");
    if (!topic) return;
    std::vector<int64_t> good;
    std::vector<int64_t> broken;
    std::vector<std::string> values;
    for (size_t i = 0; i < 1 + world.random(8); ++i) {
      if (world.random(12) == 0) {
        broken.push_back(next_id_++);
        values.push_back(fmt::format("broken {}", broken.back()));
        continue;
      }
      now_us_ += static_cast<int64_t>(world.random(20'000'000));
      auto behind = static_cast<int64_t>(world.random(10) == 0 ? 600'000'000 : 30'000'000);
      good.push_back(next_id_++);
      int64_t time = now_us_ - static_cast<int64_t>(world.random(static_cast<uint64_t>(behind)));
      values.push_back(event_json(world, good.back(), time));
    }
    good_->attempt(good);
    broken_->attempt(broken);
    PartitionId partition{topic->id, static_cast<int32_t>(world.random(kPartitions))};
    world.engines().log().append(partition, encode(world, values),
                                 [&world, all = good_, dead = broken_, good, broken](
                                     Result<log::Appended> appended, log::AppendRefusal) {
                                   if (!appended) return world.refused("append", appended.error());
                                   world.acknowledged(Promise::records,
                                                      good.size() + broken.size());
                                   all->acknowledge(good);
                                   dead->acknowledge(broken);
                                 });
  }

  Wrong check(PowerWorld& world) override {
    if (!world.find("events")) return std::nullopt;
    auto own = fmt::format("SELECT id FROM events WHERE id < {}", kIdempotentIds);
    if (auto wrong = good_->check("events", world.read(own), !world.keeps_records())) return wrong;
    // Dead letters are made by whoever follows the topic.
    if (world.find("per_kind")) {
      if (auto wrong = broken_->check("dead letters", dead_letters(world), !world.keeps_records()))
        return wrong;
    }
    for (const auto& [view, answer] : kAnswers) {
      if (!world.find(view)) continue;
      auto got = world.read(fmt::format("SELECT * FROM {} ORDER BY ALL", view));
      auto expected = world.read(fmt::format("SELECT * FROM ({}) ORDER BY ALL", answer));
      if (auto wrong = same_rows(view, got, expected)) return wrong;
    }
    if (auto wrong = check_windows(world)) return wrong;
    return check_sinks(world);
  }

  /// Ids from here on are the idempotent client's.
  static constexpr int64_t kIdempotentIds = 1'000'000'000;

 private:
  static const std::vector<std::pair<std::string, std::string>> kAnswers;

  static Result<TextRows> dead_letters(PowerWorld& world) {
    auto rows = TRY(world.read("SELECT value::VARCHAR FROM ziwa.dead_letters"));
    for (auto& row : rows) row[0].erase(0, std::string_view("broken ").size());
    return rows;
  }

  static Wrong check_windows(PowerWorld& world) {
    if (!world.find("windows")) return std::nullopt;
    auto rows = world.read(
        "SELECT _entry, _partition, _offset, epoch_us(ts), kind, delay FROM events "
        "ORDER BY _entry, _partition, _offset");
    if (!rows) return "events: " + rows.error().to_string();
    auto answer = lateness_of(*rows);
    TextRows expected;
    for (const auto& [key, value] : answer.windows) {
      expected.push_back({key.first, fmt::format("{}", key.second), fmt::format("{}", value.first),
                          fmt::format("{}", value.second)});
    }
    auto got = world.read(
        "SELECT kind, epoch_us(window_start), n, total FROM windows ORDER BY kind, window_start");
    if (auto wrong = same_rows("windows", got, expected)) return wrong;
    auto late =
        world.read("SELECT \"partition\", \"offset\" FROM ziwa.late_rows WHERE view = 'windows'");
    if (late) std::ranges::sort(*late);
    if (auto wrong = same_rows("late rows", late, answer.late)) return wrong;
    if (auto wrong = check_closed(world, answer)) return wrong;
    return check_sessions(world, answer);
  }

  static Wrong check_closed(PowerWorld& world, const Lateness& answer) {
    if (!world.find("closed")) return std::nullopt;
    std::map<int64_t, std::pair<int64_t, int64_t>> sums;  // By end.
    for (const auto& [key, value] : answer.windows) {
      const int64_t end = key.second + kWindowUs;
      if (!answer.watermark || end > *answer.watermark) continue;
      sums[end].first += value.first;
      sums[end].second += value.second;
    }
    TextRows expected;
    for (const auto& [end, sum] : sums) {
      expected.push_back(
          {fmt::format("{}", end), fmt::format("{}", sum.first), fmt::format("{}", sum.second)});
    }
    auto got = world.read("SELECT epoch_us(window_end), n, total FROM closed ORDER BY window_end");
    return same_rows("closed", got, expected);
  }

  static Wrong check_sessions(PowerWorld& world, const Lateness& answer) {
    if (!world.find("sittings")) return std::nullopt;
    TextRows expected;
    for (const auto& [kind, times] : answer.in_sessions) {
      each_session(times, [&](int64_t first, int64_t last, int64_t count) {
        expected.push_back({kind, fmt::format("{}", first), fmt::format("{}", last + kGapUs),
                            fmt::format("{}", count)});
      });
    }
    auto got = world.read(
        "SELECT kind, epoch_us(window_start), epoch_us(window_end), n FROM sittings "
        "ORDER BY kind, window_start");
    return same_rows("sittings", got, expected);
  }

  static Wrong check_sinks(PowerWorld& world) {
    if (!world.find("keep")) return std::nullopt;
    auto end = world.engines().journal().durable();
    auto flushed = world.engines().stream().flush_sinks(end, PowerWorld::kSettleMs);
    if (!flushed) return "the sinks do not follow: " + flushed.error().to_string();
    if (auto wrong = same_rows("history", world.read("SELECT id, kind FROM history ORDER BY ALL"),
                               world.read("SELECT id, kind FROM events ORDER BY ALL"))) {
      return wrong;
    }
    if (!world.find("keep_slow")) return std::nullopt;
    return same_rows("slow_history", world.read("SELECT id, kind FROM slow_history ORDER BY ALL"),
                     world.read("SELECT id, kind FROM events WHERE delay >= 50 ORDER BY ALL"));
  }

  std::shared_ptr<SentIds> good_ = std::make_shared<SentIds>();
  std::shared_ptr<SentIds> broken_ = std::make_shared<SentIds>();
  int64_t next_id_ = 0;
  int64_t now_us_ = kStartUs;
};

const std::vector<std::pair<std::string, std::string>> EventClient::kAnswers = {
    {"per_kind", "SELECT kind, count(*), sum(id) FROM events GROUP BY kind"},
    {"top_ids", "SELECT id, kind FROM events ORDER BY id DESC LIMIT 5"},
    {"worst",
     "SELECT kind, place, id FROM (SELECT kind, id, row_number() OVER (PARTITION BY kind ORDER BY "
     "delay DESC, id) AS place FROM events) WHERE place <= 3"},
    {"per_state",
     "SELECT p.state, count(*), sum(e.delay) FROM events e JOIN places p ON e.origin = p.origin "
     "GROUP BY p.state"},
};

/// A batch of one producer and whether it was acknowledged.
struct Batch {
  std::vector<int64_t> ids;
  Bytes bytes;
  std::atomic<bool> acknowledged = false;
};

class IdempotentClient final : public PowerClient {
 public:
  void started(PowerWorld& world) override {
    forget_acknowledged();
    // Kafka's producers send again what they have no answer for, in order.
    for (const auto& batch : unanswered_) send(world, batch);
  }

  void act(PowerWorld& world) override {
    if (!world.find("events") || !get_producer_id(world)) return;
    forget_acknowledged();
    if (unanswered_.size() >= kUnansweredMax) return;
    auto batch = std::make_shared<Batch>();
    std::vector<std::string> values;
    for (size_t i = 0; i < 1 + world.random(4); ++i) {
      batch->ids.push_back(EventClient::kIdempotentIds + next_id_++);
      values.push_back(event_json(world, batch->ids.back(), kStartUs));
    }
    batch->bytes = encode(world, values, *producer_id_, sequence_);
    sequence_ += static_cast<int32_t>(values.size());
    sent_->attempt(batch->ids);
    unanswered_.push_back(batch);
    send(world, batch);
  }

  Wrong check(PowerWorld& world) override {
    if (!world.find("events")) return std::nullopt;
    auto rows = world.read(fmt::format("SELECT id FROM events WHERE id >= {} ORDER BY _offset",
                                       EventClient::kIdempotentIds));
    if (auto wrong = sent_->check("idempotent events", rows, false)) return wrong;
    for (size_t i = 1; i < rows->size(); ++i) {
      if (std::stoll((*rows)[i - 1][0]) + 1 != std::stoll((*rows)[i][0])) {
        return "idempotent events: a gap or a wrong order at " + (*rows)[i][0];
      }
    }
    return std::nullopt;
  }

 private:
  static constexpr size_t kUnansweredMax = 4;  // The log knows a producer's last five batches.

  bool get_producer_id(PowerWorld& world) {
    if (producer_id_) return true;
    auto id = world.engines().log().new_producer_id();
    if (!id) {
      world.refused("producer id", id.error());
      return false;
    }
    producer_id_ = *id;
    return true;
  }

  void forget_acknowledged() {
    while (!unanswered_.empty() && unanswered_.front()->acknowledged) unanswered_.pop_front();
  }

  void send(PowerWorld& world, const std::shared_ptr<Batch>& batch) {
    auto topic = world.find("events");
    if (!topic) return;
    world.engines().log().append(
        {topic->id, 0}, batch->bytes,
        [&world, batch, sent = sent_](Result<log::Appended> appended, log::AppendRefusal) {
          if (!appended) {
            return world.refused("idempotent append", appended.error());
          }
          world.acknowledged(Promise::records, batch->ids.size());
          sent->acknowledge(batch->ids);
          batch->acknowledged = true;
        });
  }

  std::shared_ptr<SentIds> sent_ = std::make_shared<SentIds>();
  std::deque<std::shared_ptr<Batch>> unanswered_;
  std::optional<int64_t> producer_id_;
  int32_t sequence_ = 0;
  int64_t next_id_ = 0;
};

/// The view keeps what the topic forgets.
class RetentionClient final : public PowerClient {
 public:
  void act(PowerWorld& world) override {
    auto topic = world.find("short");
    if (!topic) return;
    if (world.random(8) == 0) return delete_records(world, {topic->id, 0});
    std::vector<int64_t> ids;
    std::vector<std::string> values;
    for (size_t i = 0; i < 1 + world.random(5); ++i) {
      ids.push_back(next_id_++);
      values.push_back(fmt::format(R"({{"id":{},"padding":"{:{}}"}})", ids.back(), "",
                                   world.random(kPaddingMax)));
    }
    sent_->attempt(ids);
    world.engines().log().append(
        {topic->id, 0}, encode(world, values),
        [&world, sent = sent_, ids](Result<log::Appended> appended, log::AppendRefusal) {
          if (!appended) return world.refused("append", appended.error());
          world.acknowledged(Promise::records, ids.size());
          sent->acknowledge(ids);
        });
  }

  Wrong check(PowerWorld& world) override {
    auto topic = world.find("short");
    if (!topic) return std::nullopt;
    auto info = world.engines().log().info({topic->id, 0});
    if (!info) return "short: " + info.error().to_string();
    if (info->log_start < deleted_) {
      return fmt::format("short begins at {}, deleted below {}", info->log_start, deleted_);
    }
    if (!world.find("short_ids")) return std::nullopt;
    auto kept = world.read("SELECT id FROM short_ids ORDER BY id");
    if (auto wrong = sent_->check("short_ids", kept, false)) return wrong;
    auto rows = world.read("SELECT id FROM short ORDER BY id");
    if (!rows) return "short: " + rows.error().to_string();
    if (!std::ranges::includes(
            *kept, *rows, {}, [](auto& row) { return std::stoll(row[0]); },
            [](auto& row) { return std::stoll(row[0]); })) {
      return "short_ids lacks rows of short";
    }
    auto expected = static_cast<size_t>(info->high_watermark.value - info->log_start.value);
    if (rows->size() == expected) return std::nullopt;
    return fmt::format("short has {} rows of {}", rows->size(), expected);
  }

 private:
  static constexpr uint64_t kPaddingMax = 150'000;  // So that segments end.

  void delete_records(PowerWorld& world, PartitionId id) {
    if (!world.find("short_ids")) return;
    auto info = world.engines().log().info(id);
    if (!info || info->high_watermark == info->log_start) return;
    auto before =
        Offset(info->log_start.value + static_cast<int64_t>(world.random(static_cast<uint64_t>(
                                           info->high_watermark.value - info->log_start.value))));
    auto done = world.query(fmt::format("CALL ziwa.delete_records('short', 0, {})", before));
    if (!done) return world.refused("delete_records", done.error());
    deleted_ = std::max(deleted_, before);
  }

  std::shared_ptr<SentIds> sent_ = std::make_shared<SentIds>();
  Offset deleted_;
  int64_t next_id_ = 0;
};

}  // namespace

std::unique_ptr<PowerClient> make_event_client() { return std::make_unique<EventClient>(); }
std::unique_ptr<PowerClient> make_idempotent_client() {
  return std::make_unique<IdempotentClient>();
}
std::unique_ptr<PowerClient> make_retention_client() { return std::make_unique<RetentionClient>(); }

}  // namespace ziwa::app::testing
