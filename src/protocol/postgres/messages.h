#pragma once

#include "base/bytes.h"
#include "base/result.h"

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

// The Postgres frontend/backend protocol, version 3.0, as bytes in and bytes out. Big-endian.
// Source: PostgreSQL 15 manual, chapter 55. The first message of a connection has no type: length
// i32 (with itself) | code i32 | body. All others: type u8 | length i32 (with itself, without the
// type) | body.
namespace ziwa::protocol::postgres {

/// Limits of one connection's input.
struct MessageLimits {
  size_t startup_bytes = 10'000;     ///< As in Postgres.
  size_t message_bytes = 64u << 20;  ///< Longest message after the start-up.
};

/// A message cut out of the stream; `body` is a view into the reader, until its next call.
struct Frame {
  char type = 0;  ///< 0 for a start-up packet.
  ByteView body;
};

/// Cuts the client's bytes into messages. One thread.
class FrameReader {
 public:
  explicit FrameReader(MessageLimits limits = {}) : limits_(limits) {}
  void feed(ByteView bytes);
  /// The next whole message, or nullopt when more bytes are needed. Errors: invalid_argument (a
  /// length that cannot be), exhausted (longer than the limit); the connection cannot go on after
  /// either.
  Result<std::optional<Frame>> next();
  /// Start-up packets come until this is called; then typed messages.
  void end_startup() { startup_ = false; }
  size_t buffered() const { return buffer_.size() - position_; }
  /// The number of messages that have been cut out.
  uint64_t frames() const { return frames_; }

 private:
  MessageLimits limits_;
  Bytes buffer_;
  size_t position_ = 0;
  uint64_t frames_ = 0;
  bool startup_ = true;
};

// What a client says first.
/// Asks for TLS; answered with N.
struct SslRequest {};
/// Asks for GSSAPI encryption; answered with N.
struct GssRequest {};
/// Stops the statement of another connection.
struct CancelRequest {
  int32_t process = 0;
  int32_t secret = 0;
};
/// Opens a session.
struct Startup {
  int32_t version = 0;  ///< 196608 = 3.0
  std::map<std::string, std::string> parameters;
};
using StartupPacket = std::variant<SslRequest, GssRequest, CancelRequest, Startup>;
/// Errors: invalid_argument (cut off, or not Postgres at all), unsupported (another protocol
/// version).
Result<StartupPacket> parse_startup(ByteView body);

// What it says then. Texts are views into the frame.
/// Simple query: one text, any number of statements.
struct Query {
  std::string_view sql;
};
/// Prepares a statement.
struct Parse {
  std::string_view statement;
  std::string_view sql;
  std::vector<uint32_t> parameter_types;  ///< 0: unspecified.
};
/// Makes a portal of a statement and its parameters.
struct Bind {
  std::string_view portal;
  std::string_view statement;
  std::vector<int16_t> parameter_formats;  ///< 0 text, 1 binary; none: all text; one: for all.
  std::vector<std::optional<ByteView>> parameters;
  std::vector<int16_t> result_formats;
};
/// Asks for the columns of a statement or portal.
struct Describe {
  char kind = 'S';  ///< S statement, P portal
  std::string_view name;
};
/// Runs a portal, up to a number of rows.
struct Execute {
  std::string_view portal;
  int32_t rows_max = 0;  ///< 0: all
};
/// Forgets a statement or portal.
struct Close {
  char kind = 'S';
  std::string_view name;
};
/// Ends an extended query.
struct Sync {};
/// Asks for what is buffered.
struct Flush {};
/// Ends the session.
struct Terminate {};
/// Messages that only belong to conversations we never start (COPY data, passwords, function
/// calls).
struct Unexpected {
  char type = 0;
};
using Message =
    std::variant<Query, Parse, Bind, Describe, Execute, Close, Sync, Flush, Terminate, Unexpected>;
/// Errors: invalid_argument when the body does not hold what its type says.
Result<Message> parse_message(const Frame& frame);
/// The format of column or parameter `index` by the rule of Bind.
int16_t format_of(const std::vector<int16_t>& formats, size_t index);

/// One column of an answer.
struct FieldDescription {
  std::string name;
  uint32_t type_oid = 25;
  int16_t type_size = -1;
  int32_t type_modifier = -1;
  int16_t format = 0;
};

/// A report to the client: an error or a notice.
struct Report {
  std::string severity = "ERROR";  ///< ERROR, FATAL, NOTICE ...
  std::string sqlstate;
  std::string message;
  std::string hint;
  int32_t position = 0;  ///< In characters from 1; 0: none.
};

/// Appends messages of the server to one growing buffer.
class MessageWriter {
 public:
  void authentication_ok();
  void parameter_status(std::string_view name, std::string_view value);
  void backend_key_data(int32_t process, int32_t secret);
  void ready_for_query(char status);  ///< I idle, T in a transaction, E in a failed one
  void row_description(const std::vector<FieldDescription>& fields);
  void parameter_description(const std::vector<uint32_t>& types);
  void no_data() { empty_message('n'); }
  void parse_complete() { empty_message('1'); }
  void bind_complete() { empty_message('2'); }
  void close_complete() { empty_message('3'); }
  void portal_suspended() { empty_message('s'); }
  void empty_query_response() { empty_message('I'); }
  void command_complete(std::string_view tag);
  void report(const Report& report, bool error = true);
  /// A single byte without a frame: the answer to SslRequest and GssRequest.
  void raw_byte(char byte) { buffer_.push_back(byte); }

  // A DataRow is written in place: begin, then per column one length and bytes, then end.
  size_t begin_row(size_t columns);
  void null_field() { be32(-1); }
  /// Opens a field; returns what close_field needs.
  size_t open_field();
  void close_field(size_t start);
  void end_row(size_t start) { end(start); }
  std::string& buffer() { return buffer_; }
  size_t size() const { return buffer_.size(); }
  std::string take() { return std::exchange(buffer_, {}); }

  void be16(int16_t value) { put(value); }
  void be32(int32_t value) { put(value); }
  void be64(int64_t value) { put(value); }

 private:
  template <typename T>
  void put(T value) {
    char raw[sizeof value];
    store_be(raw, value);
    buffer_.append(raw, sizeof raw);
  }
  size_t begin(char type);
  void end(size_t start);
  void text(std::string_view value);
  void empty_message(char type) { end(begin(type)); }
  std::string buffer_;
};

}  // namespace ziwa::protocol::postgres
