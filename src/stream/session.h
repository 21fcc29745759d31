#pragma once

#include "data/row_key.h"
#include "stream/stage.h"

#include <map>
#include <optional>

namespace ziwa::stream {

/// Gives each row the session that it is in: the rows of a partition whose times lie a gap apart at
/// most, one to the next. All rows are kept by partition and time; a step looks again at the
/// sessions that its rows touch, and gives those rows anew whose session has other bounds.
///
/// Over the records of a topic a session closes when the watermark reaches its end (plus the
/// lateness). A row that comes then is late when its session would have closed by itself, or when
/// it would change one that has: so the sessions of the rows that were taken are those of a query.
class Session final : public Stage {
 public:
  /// `topic`: whose records the rows are, if they are; sessions close by its watermark then.
  static Result<std::unique_ptr<Session>> create(StageContext& context, uint32_t node_id,
                                                 const SessionNode& node,
                                                 const std::vector<PlanColumn>& input,
                                                 const std::vector<PlanColumn>& output,
                                                 std::optional<ObjectId> topic);
  Status consume(size_t input, Delta& delta) override;
  Status finish() override;
  Status save(StateWriter& writer) override;
  Status load(char tag, std::string_view key, std::string_view value) override;
  size_t state_bytes() const override { return bytes_; }
  std::optional<OpenWindow> open_window() const override;

 private:
  struct Bounds {
    int64_t start_us = 0;
    int64_t end_us = 0;
    bool operator==(const Bounds&) const = default;
  };
  struct Entry {
    Weight weight = 0;
    Weight shown = 0;  ///< In the output, with `bounds`.
    Bounds bounds;
    bool unsaved = false;
    bool stored = false;
  };
  /// By time and row bytes.
  using Rows = std::map<std::string, Entry, std::less<>>;
  struct Partition {
    Rows rows;
    /// With a topic: first and last time of each session, so far.
    std::map<int64_t, int64_t> sessions;
    std::vector<int64_t> touched;
    std::vector<Rows::iterator> unsaved;
  };
  using Partitions = std::map<std::string, Partition, std::less<>>;

  Session(StageContext& context, uint32_t node_id, const SessionNode& node,
          data::RowKeyEncoder partitions, data::RowEncoder rows, std::optional<ObjectId> topic)
      : context_(context),
        node_id_(node_id),
        node_(node),
        topic_(topic),
        partition_encoder_(std::move(partitions)),
        row_encoder_(std::move(rows)) {}
  Partition& partition_of(std::string_view name);
  Status take(const Delta& rows, size_t row, int64_t time_us);
  bool is_late(const Partition& partition, const Delta& rows, size_t row, int64_t time_us);
  bool is_closed(int64_t end_us, int64_t watermark) const;
  void join_session(Partition& partition, int64_t time_us);
  Status settle(Partition& partition);
  Status settle(Partition& partition, Rows::iterator from, Rows::iterator to);
  Status show(std::string_view row, std::optional<Bounds> bounds, Weight weight);
  void mark_unsaved(Partition& partition, Rows::iterator entry);
  void let_go(Partitions::iterator at, int64_t watermark, StateWriter& writer);

  StageContext& context_;
  uint32_t node_id_;
  SessionNode node_;
  std::optional<ObjectId> topic_;
  data::RowKeyEncoder partition_encoder_;
  data::RowEncoder row_encoder_;
  std::unique_ptr<Evaluator> evaluator_;  ///< Partition, then the time.
  std::vector<size_t> partition_columns_;
  std::vector<size_t> row_columns_;
  std::vector<data::ColumnTarget> targets_;

  Partitions partitions_;
  std::vector<Partitions::iterator> touched_;
  std::vector<Partitions::iterator> unsaved_;
  size_t bytes_ = 0;

  data::ByteBlock partition_keys_;
  data::ByteBlock row_bytes_;
  std::string key_;
  duckdb::DataChunk output_;
  std::vector<Weight> weights_;
};

}  // namespace ziwa::stream
