#include "app/testing/power_clients.h"
#include "log/record_batch.h"

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <future>

// The client that runs transactions of the log, as a coordinator of Kafka's would.
namespace ziwa::app::testing {
namespace {

constexpr int32_t kPartitions = 2;

/// A record that was sent and, once that is known, where it stands.
struct Record {
  int32_t partition = 0;
  std::optional<Offset> offset;
};

/// Records that become visible together, or never.
struct Transaction {
  int64_t producer_id = 0;
  std::map<int64_t, Record> records;         ///< By id.
  std::map<int32_t, int32_t> next_sequence;  ///< By partition; those that it has records in.
  std::optional<bool> commit;                ///< What it was asked to end with.
  bool ended = false;
};

/// What a server answers on a thread of its own, or that it does not.
template <typename T>
class Answer {
 public:
  void give(Result<T> result) const { promise_->set_value(std::move(result)); }
  Result<T> wait() const {
    auto future = promise_->get_future();
    auto ready = future.wait_for(std::chrono::milliseconds(PowerWorld::kSettleMs));
    if (ready != std::future_status::ready) return Error(Code::unavailable, "there is no answer");
    return future.get();
  }

 private:
  std::shared_ptr<std::promise<Result<T>>> promise_ = std::make_shared<std::promise<Result<T>>>();
};

/// Two producers, each with one transaction at a time, over the partitions of "ledger". What a life
/// leaves open, the next one ends.
class TransactionClient final : public PowerClient {
 public:
  void started(PowerWorld& world) override {
    auto topic = world.find("ledger");
    if (!topic) return;
    if (auto wrong = learn(world, *topic)) {
      return world.refused("transactions", Error(Code::corrupt, "{}", *wrong));
    }
    // A producer that starts again has a new id: what it sent last may have come or not.
    for (auto& transaction : current_) {
      if (transaction && !transaction->ended) {
        end(world, *topic, *transaction, transaction->commit.value_or(world.random(2) == 0));
      }
      if (!transaction || !transaction->ended) continue;
      past_.push_back(std::move(*transaction));
      transaction.reset();
    }
  }

  void act(PowerWorld& world) override {
    auto topic = world.find("ledger");
    if (!topic) return;
    auto& transaction = current_.at(world.random(current_.size()));
    if (!transaction) {
      auto id = world.engines().log().new_producer_id();
      if (!id) return world.refused("producer id", id.error());
      transaction.emplace().producer_id = *id;
    }
    bool is_whole = !transaction->records.empty();
    for (const auto& [id, record] : transaction->records) is_whole &= record.offset.has_value();
    if (!is_whole || world.random(3) != 0) return send(world, *topic, *transaction);
    end(world, *topic, *transaction, world.random(2) == 0);
    if (!transaction->ended) return;
    past_.push_back(std::move(*transaction));
    transaction.reset();
  }

  Wrong check(PowerWorld& world) override {
    auto topic = world.find("ledger");
    if (!topic) return std::nullopt;
    if (auto wrong = learn(world, *topic)) return wrong;
    if (auto wrong = check_rows(world, *topic)) return wrong;
    if (!world.find("ledger_sum")) return std::nullopt;
    return same_rows("ledger_sum", world.read("SELECT n, total FROM ledger_sum"),
                     world.read("SELECT count(*), sum(id) FROM ledger"));
  }

 private:
  static constexpr uint64_t kPaddingMax = 30'000;  // So that segments end.

  void send(PowerWorld& world, const catalog::Object& topic, Transaction& transaction) {
    auto partition = static_cast<int32_t>(world.random(kPartitions));
    std::vector<std::string> values;
    std::vector<log::NewRecord> records;
    int64_t first = next_id_;
    for (size_t i = 0; i < 1 + world.random(3); ++i) {
      transaction.records[next_id_].partition = partition;
      values.push_back(fmt::format(R"({{"id":{},"padding":"{:{}}"}})", next_id_++, "",
                                   world.random(kPaddingMax)));
    }
    for (const auto& value : values) {
      records.push_back({.timestamp = world.clock().now(), .value = as_bytes(value)});
    }
    int32_t& sequence = transaction.next_sequence[partition];
    Bytes batch =
        log::encode_batch(records, transaction.producer_id, 0, sequence, log::kTransactional);
    sequence += static_cast<int32_t>(records.size());
    Answer<log::Appended> answer;
    world.engines().log().append({topic.id, partition}, batch,
                                 [answer](Result<log::Appended> appended, log::AppendRefusal) {
                                   answer.give(std::move(appended));
                                 });
    auto appended = answer.wait();
    if (!appended) return world.refused("append to a transaction", appended.error());
    world.acknowledged(Promise::records, records.size());
    for (int64_t id = first; id < next_id_; ++id) {
      transaction.records[id].offset = Offset(appended->base_offset.value + id - first);
    }
  }

  static void end(PowerWorld& world, const catalog::Object& topic, Transaction& transaction,
                  bool commit) {
    std::vector<PartitionId> partitions;
    for (const auto& [partition, sequence] : transaction.next_sequence) {
      partitions.push_back({topic.id, partition});
    }
    transaction.commit = commit;
    Answer<EntryNumber> answer;
    world.engines().log().end_transaction(
        "ledger", transaction.producer_id, 0, commit, std::move(partitions),
        [answer](Result<EntryNumber> entered) { answer.give(std::move(entered)); });
    auto ended = answer.wait();
    if (!ended) return world.refused("end of a transaction", ended.error());
    world.acknowledged(Promise::transactions);
    transaction.ended = true;
  }

  /// After a restart: which transactions are open in which partitions, and so how those ended that
  /// had no answer.
  Wrong learn(PowerWorld& world, const catalog::Object& topic) {
    std::set<std::pair<int64_t, int32_t>> open;
    for (const auto& info : world.engines().log().open_transactions()) {
      if (info.id.topic == topic.id) open.emplace(info.producer_id, info.id.partition);
    }
    for (auto& transaction : current_) {
      if (!transaction) continue;
      std::set<int32_t> open_in;
      std::set<int32_t> gone_from;
      for (const auto& [id, record] : transaction->records) {
        bool found = open.contains({transaction->producer_id, record.partition});
        if (found) open_in.insert(record.partition);
        if (!found && record.offset) gone_from.insert(record.partition);
      }
      for (int32_t partition : open_in) open.erase({transaction->producer_id, partition});
      if (gone_from.empty()) continue;
      if (!transaction->commit) return "a transaction that nobody ended is not open";
      if (!open_in.empty()) return "a transaction ended in some of its partitions";
      transaction->ended = true;
    }
    if (open.empty()) return std::nullopt;
    return "a transaction that ended is open";
  }

  /// What committed below the last stable offset is there, and nothing that did not commit.
  Wrong check_rows(PowerWorld& world, const catalog::Object& topic) const {
    std::array<Offset, kPartitions> stable;
    for (int32_t partition = 0; partition < kPartitions; ++partition) {
      auto info = world.engines().log().info({topic.id, partition});
      if (!info) return "ledger: " + info.error().to_string();
      Offset expected = info->high_watermark;
      for (const auto& open : world.engines().log().open_transactions()) {
        if (open.id == info->id) expected = std::min(expected, open.first_offset);
      }
      if (info->last_stable_offset != expected) {
        return fmt::format("ledger: the last stable offset is {}, not {}", info->last_stable_offset,
                           expected);
      }
      stable.at(static_cast<size_t>(partition)) = expected;
    }
    auto rows = world.read("SELECT id FROM ledger");
    if (!rows) return "ledger: " + rows.error().to_string();
    std::set<int64_t> found;
    for (const auto& row : *rows) {
      if (!found.insert(std::stoll(row[0])).second) return "ledger: " + row[0] + " twice";
    }
    auto look_for = [&](const Transaction& transaction) -> Wrong {
      bool committed = transaction.ended && *transaction.commit;
      for (const auto& [id, record] : transaction.records) {
        if (found.erase(id) > 0) {
          if (!committed) return fmt::format("ledger: {} did not commit and is read", id);
        } else if (committed && record.offset &&
                   *record.offset < stable.at(static_cast<size_t>(record.partition))) {
          return fmt::format("ledger: {} was committed and is gone", id);
        }
      }
      return std::nullopt;
    };
    for (const auto& transaction : past_) {
      if (auto wrong = look_for(transaction)) return wrong;
    }
    for (const auto& transaction : current_) {
      if (!transaction) continue;
      if (auto wrong = look_for(*transaction)) return wrong;
    }
    if (found.empty()) return std::nullopt;
    return fmt::format("ledger: {} was never sent", *found.begin());
  }

  std::array<std::optional<Transaction>, 2> current_;
  std::vector<Transaction> past_;
  int64_t next_id_ = 0;
};

}  // namespace

std::unique_ptr<PowerClient> make_transaction_client() {
  return std::make_unique<TransactionClient>();
}

}  // namespace ziwa::app::testing
