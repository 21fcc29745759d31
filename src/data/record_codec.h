#pragma once

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"
#include "data/schema.h"
#include "duck/chunk.h"

#include <memory>
#include <span>
#include <string>
#include <vector>

namespace ziwa::data {

/// One record as it lies in the log; views into the fetched bytes. A null key or value is a null
/// data pointer.
struct Record {
  Offset offset;
  int32_t partition = 0;
  TimestampMs timestamp;
  EntryNumber entry;
  ByteView key;
  ByteView value;
};

/// A record that did not decode, with the reason a person can act on.
struct Rejected {
  Offset offset;
  int32_t partition = 0;
  EntryNumber entry;
  std::string reason;
};

/// Turns record values into columns and back. One instance per thread; keeps buffers between calls.
class RecordCodec {
 public:
  virtual ~RecordCodec() = default;
  /// Decodes as many of `records` as fit in `out` (2,048 less its size) and appends their rows to
  /// the columns [0, schema size) of `out`; returns how many records were consumed. A record that
  /// does not decode is consumed, appends to `rejected` and adds no row. `row_record` gets, per
  /// added row, its index in `records`. A missing field is NULL; an unknown field is ignored; NULL
  /// in a NOT NULL column rejects.
  virtual size_t decode(std::span<const Record> records, duck::Chunk& out,
                        std::vector<uint32_t>& row_record, std::vector<Rejected>& rejected) = 0;
  /// Encodes the rows of `in` (columns as in the schema): one value per row, appended to `out`.
  virtual Status encode(const duck::Chunk& in, std::vector<Bytes>& out) = 0;
};

/// `format` is "json" (one object per record, timestamps as ISO 8601 or epoch micros) or "avro"
/// (binary, the schema of avro_schema(), no header). Errors: unsupported format or a column type
/// the format cannot carry.
Result<std::unique_ptr<RecordCodec>> make_record_codec(const Schema& schema,
                                                       const std::string& format);

/// The Avro schema (JSON text) that make_record_codec("avro") reads and writes: each column a union
/// with null.
Result<std::string> avro_schema(const Schema& schema, const std::string& record_name);

}  // namespace ziwa::data
