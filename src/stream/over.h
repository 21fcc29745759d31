#pragma once

#include "data/row_key.h"
#include "duck/window.h"
#include "stream/closing.h"
#include "stream/order_key.h"
#include "stream/stage.h"

#include <map>

namespace ziwa::stream {

/// Window functions. All rows are kept by partition and order, each with the answers that the
/// output holds for it. A step asks DuckDB again for the rows that a change may have reached, and
/// tells which answers are others: in a partition where every call looks at some rows before and
/// after its own only, that is their neighbourhood, else the partition.
class Over final : public Stage {
 public:
  static Result<std::unique_ptr<Over>> create(StageContext& context, uint32_t node_id,
                                              const OverNode& node,
                                              const std::vector<PlanColumn>& input,
                                              const std::vector<PlanColumn>& output,
                                              std::optional<BoundColumn> closing);
  Status consume(size_t input, Delta& delta) override;
  Status finish() override;
  Status save(StateWriter& writer) override;
  Status load(char tag, std::string_view key, std::string_view value) override;
  size_t state_bytes() const override { return bytes_ + closing_.bytes(); }

 private:
  struct Entry {
    Weight weight = 0;
    uint32_t order_bytes = 0;  ///< Where the row begins in the key.
    bool touched = false;      ///< Its weight has changed in this step.
    bool unsaved = false;
    bool stored = false;
    std::vector<std::string> answers;  ///< One per time that the output has the row.
  };
  /// By order key and row: total, and the row can be read back.
  using Rows = std::map<std::string, Entry, std::less<>>;
  struct Partition {
    Rows rows;
    std::vector<Rows::iterator> touched;
    std::vector<Rows::iterator> unsaved;
    std::string_view name;  ///< Its key.
    bool failed = false;    ///< The last run gave no answers.
    std::string error;      ///< That is reported of it.
    bool error_unsaved = false;
  };
  using Partitions = std::map<std::string, Partition, std::less<>>;
  /// How far a call looks.
  struct Reach {
    uint64_t before = 0;
    uint64_t after = 0;
  };
  /// Rows that are asked about together: those from `from` to before `to`, for the answers of those
  /// from `first` to before `last`.
  struct Job {
    Partition* partition;
    Rows::iterator from;
    Rows::iterator first;
    Rows::iterator last;
    Rows::iterator to;
  };
  /// What stands behind a row of the program.
  struct Asked {
    Rows::iterator entry;
    size_t index;  ///< Among the answers of the entry.
    size_t job;
    bool wanted;
  };

  Over(StageContext& context, uint32_t node_id, const OverNode& node,
       data::RowKeyEncoder partitions, OrderKey order, data::RowEncoder rows,
       data::RowEncoder answers, ClosingKeys closing)
      : context_(context),
        node_id_(node_id),
        node_(node),
        partition_encoder_(std::move(partitions)),
        row_encoder_(std::move(rows)),
        answer_encoder_(std::move(answers)),
        order_key_(std::move(order)),
        closing_(std::move(closing)) {}
  static std::optional<Reach> reach_of(StageContext& context, const OverNode& node);
  void add_jobs(Partition& partition);
  Status add_rows(const Job& job, size_t number);
  Status flush_rows();
  Status ask();
  Status run(size_t first_job, size_t last_job);
  Status take(duckdb::DataChunk& results);
  Result<Partitions::iterator> partition_of(std::string_view name);
  Status forget(Partition& partition);
  void let_go(StateWriter& writer);
  /// Reports another error of a partition instead of the one before; empty: none.
  void report(Partition& partition, std::string error);
  void mark_unsaved(Partition& partition, Rows::iterator entry);
  /// Makes `answers` what the output has of a row. `changed`: a string has other bytes.
  Status answer(Partition& partition, Rows::iterator entry, size_t index, std::string_view bytes);
  Status drop_answers(Partition& partition, Rows::iterator entry, size_t keep);
  Status show(Rows::iterator entry, std::string_view answer, Weight weight);

  StageContext& context_;
  uint32_t node_id_;
  OverNode node_;
  std::optional<Reach> reach_;  ///< None: the whole partition.
  data::RowKeyEncoder partition_encoder_;
  data::RowEncoder row_encoder_;
  data::RowEncoder answer_encoder_;
  OrderKey order_key_;
  std::unique_ptr<Evaluator> evaluator_;  ///< Partition, order, then what the calls read.
  std::unique_ptr<duck::WindowProgram> program_;
  std::vector<size_t> partition_columns_;
  std::vector<std::string> partition_names_;
  duckdb::vector<duckdb::LogicalType> partition_types_;
  std::vector<size_t> row_columns_;
  std::vector<size_t> answer_columns_;
  std::vector<data::ColumnTarget> row_targets_;
  std::vector<data::ColumnTarget> answer_targets_;

  Partitions partitions_;
  std::vector<Partitions::iterator> touched_;
  std::vector<Partitions::iterator> unsaved_;
  size_t bytes_ = 0;
  ClosingPartitions closing_;

  // Of one step.
  std::vector<Job> jobs_;
  std::vector<Asked> asked_;  ///< By number of row.
  std::vector<uint64_t> job_numbers_;
  duckdb::DataChunk rows_;     ///< Decoded, to be evaluated.
  duckdb::DataChunk columns_;  ///< Of the program.
  data::ByteBlock partition_keys_;
  data::ByteBlock row_bytes_;
  data::ByteBlock answer_bytes_;
  std::string key_;
  duckdb::DataChunk output_;
  std::vector<Weight> weights_;
};

}  // namespace ziwa::stream
