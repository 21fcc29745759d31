#include "protocol/postgres/messages.h"

#include <algorithm>

namespace ziwa::protocol::postgres {
namespace {

constexpr int32_t kVersion3 = 196'608;
constexpr int32_t kCancelCode = 80'877'102;
constexpr int32_t kSslCode = 80'877'103;
constexpr int32_t kGssCode = 80'877'104;
// Consumed bytes are moved away once they are this many, so that a pipelining client costs no
// quadratic copying.
constexpr size_t kCompactBytes = 64 * 1024;

/// A text that ends with a zero byte.
std::string_view text_of(ByteReader& reader, ByteView body) {
  size_t from = reader.position();
  auto rest = as_text(body.subspan(from));
  size_t end = rest.find('\0');
  if (end == std::string_view::npos) {
    reader.raw(rest.size() + 1);  // Turns the reader bad.
    return {};
  }
  reader.raw(end + 1);
  return rest.substr(0, end);
}

/// A count of items that each take at least `item_bytes`; more than the body can hold turns the
/// reader bad.
size_t count_of(ByteReader& reader, size_t item_bytes) {
  auto count = reader.be<int16_t>();
  if (count >= 0 && static_cast<size_t>(count) * item_bytes <= reader.remaining()) {
    return static_cast<size_t>(count);
  }
  reader.raw(reader.remaining() + 1);
  return 0;
}

std::vector<int16_t> formats_of(ByteReader& reader) {
  std::vector<int16_t> formats(count_of(reader, 2));
  for (auto& format : formats) format = reader.be<int16_t>();
  return formats;
}

Parse read_parse(ByteReader& reader, ByteView body) {
  Parse parse;
  parse.statement = text_of(reader, body);
  parse.sql = text_of(reader, body);
  parse.parameter_types.resize(count_of(reader, 4));
  for (auto& type : parse.parameter_types) type = reader.be<uint32_t>();
  return parse;
}

Bind read_bind(ByteReader& reader, ByteView body) {
  Bind bind;
  bind.portal = text_of(reader, body);
  bind.statement = text_of(reader, body);
  bind.parameter_formats = formats_of(reader);
  bind.parameters.resize(count_of(reader, 4));
  for (auto& parameter : bind.parameters) {
    auto size = reader.be<int32_t>();
    if (size >= 0) parameter = reader.raw(static_cast<size_t>(size));
  }
  bind.result_formats = formats_of(reader);
  return bind;
}

bool known_formats(const std::vector<int16_t>& formats) {
  return std::ranges::all_of(formats, [](int16_t format) { return format == 0 || format == 1; });
}

}  // namespace

void FrameReader::feed(ByteView bytes) {
  if (position_ == buffer_.size()) {
    buffer_.clear();
    position_ = 0;
  } else if (position_ >= kCompactBytes) {
    buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<ptrdiff_t>(position_));
    position_ = 0;
  }
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
}

Result<std::optional<Frame>> FrameReader::next() {
  if (buffered() == 0 && buffer_.capacity() > kCompactBytes) {
    buffer_ = Bytes();  // A long message leaves nothing behind.
    position_ = 0;
  }
  size_t header = startup_ ? 4 : 5;
  if (buffered() < header) return std::optional<Frame>();
  const std::byte* at = buffer_.data() + position_;
  auto length = load_be<int32_t>(at + header - 4);
  if (length < 4) return Error(Code::invalid_argument, "a message of length {} cannot be", length);
  size_t body_bytes = static_cast<size_t>(length) - 4;
  size_t limit = startup_ ? limits_.startup_bytes : limits_.message_bytes;
  if (body_bytes > limit) {
    return Error(startup_ ? Code::invalid_argument : Code::exhausted,
                 "a message of {} bytes is longer than the limit of {}", body_bytes, limit);
  }
  if (buffered() < header + body_bytes) return std::optional<Frame>();
  Frame frame;
  frame.type = startup_ ? '\0' : static_cast<char>(*at);
  frame.body = ByteView(at + header, body_bytes);
  position_ += header + body_bytes;
  ++frames_;
  return std::optional<Frame>(frame);
}

Result<StartupPacket> parse_startup(ByteView body) {
  ByteReader reader(body);
  auto code = reader.be<int32_t>();
  if (code == kSslCode) return StartupPacket(SslRequest{});
  if (code == kGssCode) return StartupPacket(GssRequest{});
  if (code == kCancelCode) {
    CancelRequest cancel{.process = reader.be<int32_t>(), .secret = reader.be<int32_t>()};
    if (auto whole = reader.status("the cancel request"); !whole) return whole.error();
    return StartupPacket(cancel);
  }
  if (!reader.ok() || (code >> 16) != 3) {
    return Error(Code::unsupported, "this is not a Postgres client of protocol 3: it sent code {}",
                 code);
  }
  // A client may ask for a later minor version; what it sends is understood all the same.
  Startup startup{.version = kVersion3};
  while (reader.remaining() > 1) {
    auto name = text_of(reader, body);
    if (name.empty()) break;
    auto value = text_of(reader, body);
    startup.parameters.emplace(name, value);
  }
  if (!reader.ok()) return Error(Code::invalid_argument, "the start-up packet ends too early");
  return StartupPacket(std::move(startup));
}

Result<Message> parse_message(const Frame& frame) {
  ByteReader reader(frame.body);
  Message message;
  switch (frame.type) {
    case 'Q':
      message = Query{text_of(reader, frame.body)};
      break;
    case 'P':
      message = read_parse(reader, frame.body);
      break;
    case 'B': {
      Bind bind = read_bind(reader, frame.body);
      if (!known_formats(bind.parameter_formats) || !known_formats(bind.result_formats)) {
        return Error(Code::invalid_argument, "a format is 0 (text) or 1 (binary)");
      }
      message = std::move(bind);
      break;
    }
    case 'D':
    case 'C': {
      char kind = static_cast<char>(reader.be<uint8_t>());
      auto name = text_of(reader, frame.body);
      if (reader.ok() && kind != 'S' && kind != 'P') {
        return Error(Code::invalid_argument, "a statement is S and a portal is P, not {:?}", kind);
      }
      if (frame.type == 'D') {
        message = Describe{kind, name};
      } else {
        message = Close{kind, name};
      }
      break;
    }
    case 'E': {
      auto portal = text_of(reader, frame.body);
      message = Execute{portal, reader.be<int32_t>()};
      break;
    }
    case 'S':
      message = Sync{};
      break;
    case 'H':
      message = Flush{};
      break;
    case 'X':
      message = Terminate{};
      break;
    default:
      return Message(Unexpected{frame.type});
  }
  if (!reader.ok()) {
    return Error(Code::invalid_argument, "a message of type '{}' ends too early",
                 static_cast<char>(frame.type));
  }
  return message;
}

int16_t format_of(const std::vector<int16_t>& formats, size_t index) {
  if (formats.empty()) return 0;
  if (formats.size() == 1) return formats[0];
  return index < formats.size() ? formats[index] : int16_t{0};
}

size_t MessageWriter::begin(char type) {
  buffer_.push_back(type);
  be32(0);
  return buffer_.size() - 4;
}

void MessageWriter::end(size_t start) {
  store_be(buffer_.data() + start, static_cast<int32_t>(buffer_.size() - start));
}

void MessageWriter::text(std::string_view value) {
  // A zero byte would end the text early and shift every field after it.
  buffer_.append(value.substr(0, value.find('\0')));
  buffer_.push_back('\0');
}

void MessageWriter::authentication_ok() {
  size_t start = begin('R');
  be32(0);
  end(start);
}

void MessageWriter::parameter_status(std::string_view name, std::string_view value) {
  size_t start = begin('S');
  text(name);
  text(value);
  end(start);
}

void MessageWriter::backend_key_data(int32_t process, int32_t secret) {
  size_t start = begin('K');
  be32(process);
  be32(secret);
  end(start);
}

void MessageWriter::ready_for_query(char status) {
  size_t start = begin('Z');
  buffer_.push_back(status);
  end(start);
}

void MessageWriter::row_description(const std::vector<FieldDescription>& fields) {
  size_t start = begin('T');
  be16(static_cast<int16_t>(fields.size()));
  for (const auto& field : fields) {
    text(field.name);
    be32(0);  // Not a column of a table with an OID.
    be16(0);
    be32(static_cast<int32_t>(field.type_oid));
    be16(field.type_size);
    be32(field.type_modifier);
    be16(field.format);
  }
  end(start);
}

void MessageWriter::parameter_description(const std::vector<uint32_t>& types) {
  size_t start = begin('t');
  be16(static_cast<int16_t>(types.size()));
  for (auto type : types) be32(static_cast<int32_t>(type));
  end(start);
}

void MessageWriter::command_complete(std::string_view tag) {
  size_t start = begin('C');
  text(tag);
  end(start);
}

void MessageWriter::report(const Report& report, bool error) {
  size_t start = begin(error ? 'E' : 'N');
  auto field = [this](char type, std::string_view value) {
    if (value.empty()) return;
    buffer_.push_back(type);
    text(value);
  };
  field('S', report.severity);
  field('V', report.severity);
  field('C', report.sqlstate);
  field('M', report.message.empty() ? "unknown error" : report.message);
  field('H', report.hint);
  if (report.position > 0) field('P', std::to_string(report.position));
  buffer_.push_back('\0');
  end(start);
}

size_t MessageWriter::begin_row(size_t columns) {
  size_t start = begin('D');
  be16(static_cast<int16_t>(columns));
  return start;
}

size_t MessageWriter::open_field() {
  be32(0);
  return buffer_.size();
}

void MessageWriter::close_field(size_t start) {
  store_be(buffer_.data() + start - 4, static_cast<int32_t>(buffer_.size() - start));
}

}  // namespace ziwa::protocol::postgres
