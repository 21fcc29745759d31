#include "sql/topic_reader.h"

#include <algorithm>
#include <set>

namespace ziwa::sql {
namespace {

constexpr size_t kFetchBytes = 4u << 20;

Error records_are_gone(PartitionId id) {
  return Error(Code::unavailable,
               "records of partition {} were deleted after the transaction began to read",
               id.partition)
      .with_hint("end the transaction and read again");
}

}  // namespace

Result<std::vector<Piece>> readable_pieces(const log::Log& log, const catalog::Object& topic,
                                           Epoch epoch, Deleted deleted) {
  std::vector<Piece> pieces;
  for (int32_t partition = 0; partition < topic.topic().partitions; ++partition) {
    PartitionId id{topic.id, partition};
    log::PartitionInfo info = TRY(log.info(id));
    if (deleted == Deleted::refused && info.start_moved.value > epoch.value)
      return records_are_gone(id);
    Offset end = TRY(log.stable_end_at(id, epoch));
    pieces.push_back({id, info.log_start, std::max(info.log_start, end), deleted});
  }
  return pieces;
}

Result<std::span<const log::RecordView>> PieceReader::records() {
  while (taken_ == records_.size() && position_ < piece_.to && unreadable_.empty()) TRY(fetch());
  return std::span<const log::RecordView>(records_).subspan(taken_);
}

Result<EntryNumber> PieceReader::entry_of(Offset offset) {
  if (entries_.empty()) entries_ = TRY(log_.entries_between(piece_.id, piece_.from, piece_.to));
  while (entry_at_ < entries_.size() && entries_[entry_at_].end <= offset) ++entry_at_;
  if (entry_at_ == entries_.size()) return log_.entry_of(piece_.id, offset);
  return entries_[entry_at_].entry;
}

Status PieceReader::fetch() {
  records_.clear();
  buffers_.clear();
  taken_ = 0;
  auto fetched = log_.fetch(piece_.id, position_, kFetchBytes, log::Isolation::read_committed);
  if (!fetched && fetched.error().code() == Code::invalid_argument)
    return skip_deleted(fetched.error());
  if (!fetched) return fetched.error();
  data_ = std::move(*fetched);
  if (data_.batches.empty()) {
    position_ = piece_.to;  // nothing more that is decided
    return {};
  }
  return read_batches();
}

/// Retention overtook the scan: go on with what is still there.
Status PieceReader::skip_deleted(const Error& error) {
  log::PartitionInfo info = TRY(log_.info(piece_.id));
  if (info.log_start <= position_) return error;
  if (piece_.deleted == Deleted::refused) return records_are_gone(piece_.id);
  position_ = std::min(info.log_start, piece_.to);
  return {};
}

Status PieceReader::read_batches() {
  ByteView rest(data_.batches);
  std::set<int64_t> aborted;
  size_t next_aborted = 0;
  Offset begin = position_;
  while (!rest.empty() && position_ < piece_.to) {
    log::BatchHeader header = TRY(log::parse_batch_header(rest));
    while (next_aborted < data_.aborted.size() &&
           data_.aborted[next_aborted].first_offset.value <= header.last_offset()) {
      aborted.insert(data_.aborted[next_aborted++].producer_id);
    }
    if (header.control()) {
      aborted.erase(header.producer_id);
    } else if (!(header.transactional() && aborted.contains(header.producer_id))) {
      TRY(read_batch(header, rest.first(header.total_bytes()), begin));
    }
    position_ = Offset(header.last_offset() + 1);
    rest = rest.subspan(header.total_bytes());
  }
  std::erase_if(records_, [&](const log::RecordView& record) {
    return record.offset < begin || record.offset >= piece_.to;
  });
  return {};
}

Status PieceReader::read_batch(const log::BatchHeader& header, ByteView batch, Offset begin) {
  buffers_.emplace_back();
  auto read = log::read_stored_records(batch, records_, buffers_.back());
  if (read || !log::is_of_batch(read.error())) return read;
  buffers_.pop_back();
  if (reports_) {
    unreadable_.push_back({std::max(begin, Offset(header.base_offset)),
                           log::unreadable_reason(header, read.error())});
  }
  return {};
}

}  // namespace ziwa::sql
