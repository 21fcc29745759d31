#include "duck/chunk.h"
#include "protocol/postgres/types.h"

#include <cstddef>
#include <cstdint>

namespace {

using namespace ziwa;
using namespace ziwa::protocol::postgres;
using duckdb::LogicalType;

constexpr uint32_t kOids[] = {0,
                              oid::kBool,
                              oid::kBytea,
                              oid::kInt8,
                              oid::kInt2,
                              oid::kInt4,
                              oid::kText,
                              oid::kJson,
                              oid::kFloat4,
                              oid::kFloat8,
                              oid::kUnknown,
                              oid::kDate,
                              oid::kTime,
                              oid::kTimestamp,
                              oid::kTimestampTz,
                              oid::kInterval,
                              oid::kNumeric,
                              oid::kUuid,
                              oid::kJsonb,
                              oid::kTextArray,
                              oid::kAnyArray,
                              1001,
                              1007,
                              1231,
                              1185,
                              1187,
                              2951,
                              99'999};

const std::vector<LogicalType>& wanted_types() {
  static const std::vector<LogicalType> kTypes = {LogicalType::UNKNOWN,
                                                  LogicalType::BOOLEAN,
                                                  LogicalType::BIGINT,
                                                  LogicalType::UTINYINT,
                                                  LogicalType::HUGEINT,
                                                  LogicalType::VARCHAR,
                                                  LogicalType::BLOB,
                                                  LogicalType::DOUBLE,
                                                  LogicalType::DECIMAL(9, 2),
                                                  LogicalType::DATE,
                                                  LogicalType::TIME,
                                                  LogicalType::TIMESTAMP,
                                                  LogicalType::TIMESTAMP_TZ,
                                                  LogicalType::INTERVAL,
                                                  LogicalType::UUID,
                                                  LogicalType::TIMESTAMP_NS,
                                                  LogicalType::DECIMAL(38, 0),
                                                  LogicalType::LIST(LogicalType::INTEGER),
                                                  LogicalType::LIST(LogicalType::VARCHAR)};
  return kTypes;
}

/// The value as an answer holds it, without the DataRow around it.
std::optional<Bytes> encode(const duckdb::Value& value, bool binary) {
  duck::Chunk chunk({value.type()});
  chunk.rows.SetValue(0, 0, value);
  chunk.rows.SetCardinality(1);
  protocol::Columns columns;
  CHECK(columns.load(chunk.rows));
  MessageWriter out;
  RowWriter writer({value.type()}, {static_cast<int16_t>(binary ? 1 : 0)});
  CHECK(writer.append(out, columns, 0));
  ByteReader reader(as_bytes(out.buffer()));
  CHECK(reader.be<uint8_t>() == 'D' && reader.be<int32_t>() + 1 == static_cast<int>(out.size()));
  CHECK(reader.be<int16_t>() == 1);
  auto size = reader.be<int32_t>();
  if (size < 0) return std::nullopt;
  ByteView field = reader.raw(static_cast<size_t>(size));
  CHECK(reader.ok() && reader.remaining() == 0);
  return Bytes(field.begin(), field.end());
}

}  // namespace

/// Any bytes as a parameter of any type, text or binary: a value of the type that was wanted, which
/// an answer can hold and which reads back as the same value.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) return 0;
  uint32_t type_oid = kOids[data[0] % std::size(kOids)];
  const LogicalType& wanted = wanted_types()[data[1] % wanted_types().size()];
  ByteView bytes(reinterpret_cast<const std::byte*>(data + 3), size - 3);
  auto value = decode_parameter(bytes, data[2] % 2 == 1, type_oid, wanted);
  if (!value) return 0;
  if (!open_type(wanted)) CHECK(value->type() == wanted, "{}", value->type().ToString());
  encode(*value, false);
  auto binary = encode(*value, true);
  CHECK(binary.has_value() != value->IsNull());
  WireType wire = wire_type(value->type());
  // Lists may be of what has no form of its own, and nanoseconds do not travel.
  bool comparable = binary && !wire.json && value->type().id() != duckdb::LogicalTypeId::LIST &&
                    value->type() != LogicalType::TIMESTAMP_NS;
  if (!comparable) return 0;
  auto again = decode_parameter(*binary, true, wire.oid, value->type());
  CHECK(again, "{} {}: {}", value->type().ToString(), value->ToString(), again.error().message());
  // The first thirty years of DuckDB's range are before Postgres's.
  if (again->ToString() == "-infinity") return 0;
  CHECK(duckdb::Value::NotDistinctFrom(*value, *again), "{}: {} is read as {}",
        value->type().ToString(), value->ToString(), again->ToString());
  return 0;
}
