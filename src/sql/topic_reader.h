#pragma once

#include "catalog/catalog.h"
#include "log/log.h"
#include "log/record_batch.h"

#include <deque>
#include <span>
#include <vector>

namespace ziwa::sql {

/// Records [from, to) of a partition.
struct Piece {
  PartitionId id;
  Offset from;
  Offset to;
};

/// All of a topic that is decided at `epoch`, a piece a partition. Errors: what the log says.
Result<std::vector<Piece>> readable_pieces(const log::Log& log, const catalog::Object& topic,
                                           Epoch epoch);

/// Reads the records of one piece, whole batches at a time, leaving out control records and aborted
/// transactions.
class PieceReader {
 public:
  PieceReader(const log::Log& log, const Piece& piece)
      : log_(log), piece_(piece), position_(piece.from) {}

  /// The records not yet taken; fetches more when there are none. Empty: the end.
  Result<std::span<const log::RecordView>> records();
  void take(size_t count) { taken_ += count; }
  PartitionId id() const { return piece_.id; }
  /// The entry that made `offset` visible. Offsets are asked for in ascending order.
  Result<EntryNumber> entry_of(Offset offset);

 private:
  Status fetch();
  Status skip_deleted(const Error& error);
  Status read_batches();

  const log::Log& log_;
  Piece piece_;
  Offset position_;
  log::FetchedData data_;
  std::deque<Bytes> buffers_;
  std::vector<log::RecordView> records_;
  size_t taken_ = 0;
  std::vector<log::Log::EntryEnd> entries_;
  size_t entry_at_ = 0;
};

}  // namespace ziwa::sql
