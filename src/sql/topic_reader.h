#pragma once

#include "catalog/catalog.h"
#include "log/log.h"
#include "log/record_batch.h"

#include <deque>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace ziwa::sql {

/// What a scan does when records that were there at its epoch are gone.
enum class Deleted : unsigned char {
  left_out,  ///< It goes on with what is left.
  refused,   ///< It ends with unavailable: within a transaction nothing may change.
};

/// Records [from, to) of a partition.
struct Piece {
  PartitionId id;
  Offset from;
  Offset to;
  Deleted deleted = Deleted::left_out;
};

/// All of a topic that is decided at `epoch`, a piece a partition. Errors: what the log says.
Result<std::vector<Piece>> readable_pieces(const log::Log& log, const catalog::Object& topic,
                                           Epoch epoch, Deleted deleted = Deleted::left_out);

/// A batch whose records cannot be read.
struct UnreadableBatch {
  Offset offset;  ///< Its first in the piece.
  std::string reason;
};

/// Reads the records of one piece, whole batches at a time, leaving out control records, aborted
/// transactions, and batches that cannot be read, as views do.
class PieceReader {
 public:
  /// `reports`: take_unreadable() is called after each records().
  PieceReader(const log::Log& log, const Piece& piece, bool reports = false)
      : log_(log), piece_(piece), reports_(reports), position_(piece.from) {}

  /// The records not yet taken; fetches more when there are none. Empty: the end, or
  /// take_unreadable() has some.
  Result<std::span<const log::RecordView>> records();
  /// The batches that were left out since the last call.
  std::vector<UnreadableBatch> take_unreadable() { return std::exchange(unreadable_, {}); }
  void take(size_t count) { taken_ += count; }
  PartitionId id() const { return piece_.id; }
  /// The entry that made `offset` visible. Offsets are asked for in ascending order.
  Result<EntryNumber> entry_of(Offset offset);

 private:
  Status fetch();
  Status skip_deleted(const Error& error);
  Status read_batches();
  Status read_batch(const log::BatchHeader& header, ByteView batch, Offset begin);

  const log::Log& log_;
  Piece piece_;
  const bool reports_;
  Offset position_;
  log::FetchedData data_;
  std::deque<Bytes> buffers_;
  std::vector<log::RecordView> records_;
  size_t taken_ = 0;
  std::vector<UnreadableBatch> unreadable_;
  std::vector<log::Log::EntryEnd> entries_;
  size_t entry_at_ = 0;
};

}  // namespace ziwa::sql
