#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "duck/values.h"
#include "protocol/postgres/messages.h"
#include "protocol/rows/columns.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ziwa::protocol::postgres {

/// Object ids of Postgres's types (pg_type.dat); clients choose their decoders by them.
namespace oid {
inline constexpr uint32_t kBool = 16, kBytea = 17, kInt8 = 20, kInt2 = 21, kInt4 = 23, kText = 25,
                          kJson = 114, kFloat4 = 700, kFloat8 = 701, kUnknown = 705, kBpchar = 1042,
                          kVarchar = 1043, kDate = 1082, kTime = 1083, kTimestamp = 1114,
                          kTimestampTz = 1184, kInterval = 1186, kNumeric = 1700, kUuid = 2950,
                          kJsonb = 3802, kTextArray = 1009, kAnyArray = 2277;
}  // namespace oid

/// How values of one DuckDB type travel.
struct WireType {
  uint32_t oid = oid::kText;
  int16_t size = -1;      ///< Bytes, or -1: variable.
  int32_t modifier = -1;  ///< Precision and scale of NUMERIC.
  bool array = false;     ///< LIST or ARRAY of scalars.
  bool json = false;      ///< Nested, shown as JSON text.
};

/// Every type travels somehow: unsigned and huge integers as the next wider type or NUMERIC, nested
/// types but lists of scalars as JSON, the rest as text.
WireType wire_type(const duckdb::LogicalType& type);
/// The type that a client means by `type_oid`; nullopt when it is unspecified or unknown to us.
std::optional<duckdb::LogicalType> type_of_oid(uint32_t type_oid);

/// Writes the rows of one answer as DataRow messages. One thread.
class RowWriter {
 public:
  /// `formats` as in Bind. Errors: none; a format for a column that is not there is ignored.
  RowWriter(const std::vector<duckdb::LogicalType>& types, const std::vector<int16_t>& formats);
  /// What RowDescription says of column `index`.
  FieldDescription describe(size_t index, const std::string& name) const;
  /// Appends row `row`. Errors: exhausted (a row of more than 1 GiB), internal.
  Status append(MessageWriter& out, const Columns& columns, size_t row);

 private:
  struct Field {
    WireType wire;
    bool binary = false;
  };
  void append_field(std::string& out, const Field& field, const Columns& columns, size_t column,
                    size_t row, const void* at);
  std::vector<Field> fields_;
};

/// True when a statement leaves the type of a parameter to the client.
bool open_type(const duckdb::LogicalType& expected);
/// A value of the type that a parameter will have, for asking what a statement gives before there
/// are values: NULL, or the largest whole number, since DuckDB types those by their size.
duckdb::Value sample_parameter(uint32_t type_oid, const duckdb::LogicalType& expected);

/// Turns a parameter into a value. `type_oid` is what the client declared (0: nothing) and
/// `expected` what the statement wants (UNKNOWN: open). Errors: invalid_argument (it does not read
/// as that type), unsupported (a binary form we lack).
Result<duckdb::Value> decode_parameter(std::optional<ByteView> bytes, bool binary,
                                       uint32_t type_oid, const duckdb::LogicalType& expected);

}  // namespace ziwa::protocol::postgres
