#pragma once

#include "catalog/catalog.h"
#include "duck/chunk.h"
#include "sql/core.h"

#include <memory>

namespace ziwa::sql {

/// Writes rows into a topic or lake table; what INSERT, COPY FROM and CREATE TABLE AS end in. One
/// thread. Destroying a writer that was not finished writes nothing, but for a topic above
/// kTopicBufferBytes.
class RowWriter {
 public:
  virtual ~RowWriter() = default;
  /// Takes rows whose columns are those that SELECT * shows, of exactly their types. Errors:
  /// invalid_argument (NULL in a NOT NULL column), and what the codec or table says.
  virtual Status write(duckdb::DataChunk& rows) = 0;
  /// Makes everything durable and ordered; the journal number of the write, 0 when there were no
  /// rows. Errors: maybe_applied when some rows are in the topic and others are not.
  virtual Result<EntryNumber> finish() = 0;
};

/// Encoded bytes that one statement may hold back before it starts to append: up to here an INSERT
/// into a topic appends all of its rows or none that fails to encode.
inline constexpr size_t kTopicBufferBytes = 64u << 20;

/// When a topic's records may be appended.
enum class AppendWhen : unsigned char {
  full,      ///< When the buffer is full, and at finish().
  finished,  ///< At finish() only, because the writer may still be given up; a full buffer is
             ///< exhausted.
};

/// Errors: unsupported for anything but topics and lake tables.
Result<std::unique_ptr<RowWriter>> make_row_writer(Core& core, const catalog::ObjectPtr& object,
                                                   AppendWhen when);
/// As make_row_writer().
Result<std::unique_ptr<RowWriter>> make_topic_writer(Core& core, const catalog::ObjectPtr& topic,
                                                     AppendWhen when);
/// How rows enter a lake table.
enum class TableWrite : unsigned char {
  create,  ///< The first rows of a table whose creation is not in the journal yet: no journal
           ///< number.
  append,
};
Result<std::unique_ptr<RowWriter>> make_table_writer(Core& core, const catalog::ObjectPtr& object,
                                                     std::shared_ptr<lake::Table> table,
                                                     TableWrite kind);

/// Writes rows of a lake table, with what is derived from them, into files that nobody commits. One
/// thread. Destroying it before finish() leaves no file.
class TableFileWriter {
 public:
  virtual ~TableFileWriter() = default;
  /// As RowWriter::write(); also internal when the rows are of other types than the table.
  virtual Status write(duckdb::DataChunk& rows) = 0;
  /// The files, synced.
  virtual Result<std::vector<lake::DataFile>> finish() = 0;
};
Result<std::unique_ptr<TableFileWriter>> make_table_file_writer(Core& core,
                                                                const catalog::ObjectPtr& object,
                                                                lake::Table& table);

/// Errors: invalid_argument naming the column, when a NOT NULL column of `schema` holds a NULL.
Status check_not_null(const data::Schema& schema, duckdb::DataChunk& rows);

}  // namespace ziwa::sql
