#include "base/text.h"
#include "data/json_reader_internal.h"
#include "data/text_values_internal.h"

#include <cmath>
#include <limits>

namespace ziwa::data {
namespace {

using simdjson::ondemand::json_type;

std::string_view type_word(json_type type) {
  switch (type) {
    case json_type::array:
      return "an array";
    case json_type::object:
      return "an object";
    case json_type::number:
      return "a number";
    case json_type::string:
      return "a string";
    case json_type::boolean:
      return "a boolean";
    case json_type::null:
      return "null";
  }
  return "something else";
}

/// A number as it was written, without what follows it.
std::string_view number_token(std::string_view token) {
  return token.substr(0, token.find_first_not_of("+-.0123456789eE"));
}

constexpr size_t kQuotedMax = 60;

}  // namespace

JsonReader::JsonReader(std::vector<CodecColumn> columns) : columns_(std::move(columns)) {
  seen_.resize(columns_.size());
  for (size_t i = 0; i < columns_.size(); ++i) {
    exact_.emplace(columns_[i].name, static_cast<int>(i));
    lower_.emplace(lower(columns_[i].name), static_cast<int>(i));
  }
}

bool JsonReader::refuse(std::string why) {
  reason_ = std::move(why);
  return false;
}

bool JsonReader::refuse_cell(std::string_view why) {
  if (column_ == kUnknown) return refuse(fmt::format("a field that is not in the schema: {}", why));
  return refuse(fmt::format("field \"{}\": {}", columns_[static_cast<size_t>(column_)].name, why));
}

bool JsonReader::refuse_json(simdjson::error_code error) {
  if (error == simdjson::UTF8_ERROR) return refuse("not UTF-8");
  if (column_ == kUnknown)
    return refuse(fmt::format("not JSON: {}", simdjson::error_message(error)));
  return refuse(fmt::format("not JSON, at or after field \"{}\": {}",
                            columns_[static_cast<size_t>(column_)].name,
                            simdjson::error_message(error)));
}

bool JsonReader::refuse_type(const CellType& cell, Value& value) {
  json_type type{};
  if (value.type().get(type)) return refuse_cell("not a JSON value");
  if (type == json_type::number) {
    std::string_view token = number_token(value.raw_json_token());
    return refuse_cell(fmt::format("{} is not a {}", token.substr(0, kQuotedMax), cell.name()));
  }
  return refuse_cell(fmt::format("expected {}, found {}", cell.name(), type_word(type)));
}

bool JsonReader::refuse_range(const CellType& cell, Value& value) {
  std::string_view token = number_token(value.raw_json_token());
  return refuse_cell(
      fmt::format("{} is out of range for {}", token.substr(0, kQuotedMax), cell.name()));
}

bool JsonReader::read(ByteView json, CellWriter& cells, size_t row) {
  column_ = kUnknown;
  ++record_number_;
  seen_count_ = 0;
  // simdjson reads past the end by up to its padding.
  buffer_.assign(as_text(json));
  buffer_.append(simdjson::SIMDJSON_PADDING, ' ');
  end_ = buffer_.data() + json.size();
  simdjson::ondemand::document document;
  simdjson::ondemand::object object;
  auto error = parser_.iterate(buffer_.data(), json.size(), buffer_.size()).get(document);
  if (error) return refuse_json(error);
  if (document.get_object().get(object)) {
    json_type type{};
    if (document.type().get(type)) return refuse("not a JSON object");
    if (type == json_type::array) return refuse("expected a JSON object, found an array");
    // Only the first byte was looked at: it may be no JSON at all.
    return refuse(
        fmt::format("expected a JSON object, found {}", as_text(json).substr(0, kQuotedMax)));
  }
  if (!read_object(object, cells, row)) return false;
  const char* next = nullptr;
  if (!document.current_location().get(next)) return refuse("something follows the JSON object");
  return fill_missing(cells, row);
}

bool JsonReader::read_object(simdjson::ondemand::object& object, CellWriter& cells, size_t row) {
  size_t position = 0;
  for (auto each : object) {
    simdjson::ondemand::field field;
    if (auto error = std::move(each).get(field)) return refuse_json(error);
    int column = kUnknown;
    if (!find_column(field, position++, column)) return false;
    column_ = column;
    Value value = field.value();
    if (column == kUnknown) {
      if (!skip(value, 1)) return false;
      continue;
    }
    auto index = static_cast<size_t>(column);
    if (seen_[index] == record_number_) return refuse_cell("is there twice");
    seen_[index] = record_number_;
    ++seen_count_;
    if (!read_cell(index, value, cells, row)) return false;
  }
  return true;
}

bool JsonReader::find_column(simdjson::ondemand::field& field, size_t position, int& column) {
  const char* raw = field.key().raw();
  auto left = static_cast<size_t>(end_ - raw);
  if (position < guesses_.size()) {
    const Guess& guess = guesses_[position];
    size_t size = guess.raw.size();
    if (size < left && raw[size] == '"' && std::memcmp(raw, guess.raw.data(), size) == 0) {
      column = guess.column;
      return true;
    }
  }
  size_t size = 0;
  while (size < left && raw[size] != '"') size += raw[size] == '\\' ? 2 : 1;
  if (size >= left) return refuse("not JSON: a key without an end");
  std::string written(raw, size);
  std::string_view key;
  if (auto error = field.unescaped_key().get(key)) return refuse_json(error);
  auto found = exact_.find(std::string(key));
  if (found == exact_.end()) {
    found = lower_.find(lower(key));
    if (found != lower_.end()) {
      column = found->second;
    }
  } else {
    column = found->second;
  }
  if (position < kGuessesMax) {
    if (position >= guesses_.size()) guesses_.resize(position + 1);
    guesses_[position] = {std::move(written), column};
  }
  return true;
}

bool JsonReader::fill_missing(CellWriter& cells, size_t row) {
  if (seen_count_ == columns_.size()) return true;
  for (size_t i = 0; i < columns_.size(); ++i) {
    if (seen_[i] == record_number_) continue;
    if (columns_[i].not_null) {
      column_ = static_cast<int>(i);
      return refuse_cell("is missing, and may not be NULL");
    }
    cells.null(i, row);
  }
  return true;
}

bool JsonReader::read_cell(size_t column, Value& value, CellWriter& cells, size_t row) {
  const CodecColumn& spec = columns_[column];
  bool is_null = false;
  if (value.is_null().get(is_null)) return refuse_cell("not a JSON value");
  if (is_null) {
    if (spec.not_null) return refuse_cell("is null, and may not be NULL");
    cells.null(column, row);
    return true;
  }
  if (spec.cell.is_fixed()) return read_fixed(spec.cell, value, cells.fixed(column, row));
  if (!spec.cell.is_nested()) {
    std::string_view text;
    if (!read_text(spec.cell, value, text)) return false;
    cells.text(column, row, text);
    return true;
  }
  duckdb::Value nested;
  if (!read_nested(spec.cell, value, 1, nested)) return false;
  cells.value(column, row, nested);
  return true;
}

template <typename T>
bool JsonReader::read_integer(const CellType& cell, Value& value, void* into) {
  std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t> wide = 0;
  simdjson::error_code error;
  if constexpr (std::is_signed_v<T>) {
    error = value.get_int64().get(wide);
  } else {
    error = value.get_uint64().get(wide);
  }
  if (error) {
    json_type type{};
    bool number = !value.type().get(type) && type == json_type::number;
    if (number && parse_int128(number_token(value.raw_json_token())))
      return refuse_range(cell, value);
    return refuse_type(cell, value);
  }
  if (wide < std::numeric_limits<T>::min() || wide > std::numeric_limits<T>::max()) {
    return refuse_cell(fmt::format("{} is out of range for {}", wide, cell.name()));
  }
  auto narrow = static_cast<T>(wide);
  std::memcpy(into, &narrow, sizeof narrow);
  return true;
}

/// The text of a number, or of a string that holds one: for types that a double cannot carry.
bool JsonReader::read_number_text(const CellType& cell, Value& value, std::string_view& text) {
  json_type type{};
  if (value.type().get(type)) return refuse_cell("not a JSON value");
  if (type == json_type::string) return read_text(cell, value, text);
  double number = 0;
  if (type != json_type::number) return refuse_type(cell, value);
  text = number_token(value.raw_json_token());
  // Checks the grammar, and moves on. A number that no double holds is not one of ours either.
  if (value.get_double().get(number)) return refuse_type(cell, value);
  return true;
}

bool JsonReader::read_decimal(const CellType& cell, Value& value, void* into) {
  std::string_view text;
  if (!read_number_text(cell, value, text)) return false;
  bool whole = cell.kind == CellKind::int128;
  auto number = whole ? parse_int128(text) : parse_decimal(text, cell.width, cell.scale);
  if (!number) {
    return refuse_cell(fmt::format("\"{}\" is not a {}, or out of its range",
                                   text.substr(0, kQuotedMax), cell.name()));
  }
  // Little endian: the low bytes are the narrow number.
  duckdb::hugeint_t wide = to_hugeint(*number);
  std::memcpy(into, &wide, cell_bytes(cell.kind));
  return true;
}

template <typename Parse, typename Store>
bool JsonReader::read_parsed(const CellType& cell, Value& value, Parse parse, Store store) {
  std::string_view text;
  if (!read_text(cell, value, text)) return false;
  auto parsed = parse(text);
  if (!parsed) {
    return refuse_cell(fmt::format("the string is not a {} (ISO 8601 or the like)", cell.name()));
  }
  store(*parsed);
  return true;
}

bool JsonReader::read_timestamp(const CellType& cell, Value& value, void* into) {
  json_type type{};
  if (value.type().get(type)) return refuse_cell("not a JSON value");
  if (type != json_type::number) {
    return read_parsed(cell, value, parse_timestamp,
                       [&](int64_t micros) { std::memcpy(into, &micros, sizeof micros); });
  }
  int64_t micros = 0;
  if (!read_integer<int64_t>(cell, value, &micros)) return false;
  // The ends of the range mean infinity to DuckDB.
  constexpr int64_t kInfinity = std::numeric_limits<int64_t>::max();
  if (micros >= kInfinity || micros <= -kInfinity) {
    return refuse_cell(fmt::format("{} is out of range for {}", micros, cell.name()));
  }
  std::memcpy(into, &micros, sizeof micros);
  return true;
}

bool JsonReader::read_fixed(const CellType& cell, Value& value, void* into) {
  switch (cell.kind) {
    case CellKind::boolean: {
      bool flag = false;
      if (value.get_bool().get(flag)) return refuse_type(cell, value);
      std::memcpy(into, &flag, sizeof flag);
      return true;
    }
    case CellKind::int8:
      return read_integer<int8_t>(cell, value, into);
    case CellKind::int16:
      return read_integer<int16_t>(cell, value, into);
    case CellKind::int32:
      return read_integer<int32_t>(cell, value, into);
    case CellKind::int64:
      return read_integer<int64_t>(cell, value, into);
    case CellKind::uint8:
      return read_integer<uint8_t>(cell, value, into);
    case CellKind::uint16:
      return read_integer<uint16_t>(cell, value, into);
    case CellKind::uint32:
      return read_integer<uint32_t>(cell, value, into);
    case CellKind::uint64:
      return read_integer<uint64_t>(cell, value, into);
    case CellKind::float32: {
      double wide = 0;
      if (value.get_double().get(wide)) return refuse_type(cell, value);
      auto narrow = static_cast<float>(wide);
      if (!std::isfinite(narrow)) {
        return refuse_cell(fmt::format("{} is out of range for {}", wide, cell.name()));
      }
      std::memcpy(into, &narrow, sizeof narrow);
      return true;
    }
    case CellKind::float64: {
      double number = 0;
      if (value.get_double().get(number)) return refuse_type(cell, value);
      std::memcpy(into, &number, sizeof number);
      return true;
    }
    case CellKind::int128:
    case CellKind::decimal16:
    case CellKind::decimal32:
    case CellKind::decimal64:
    case CellKind::decimal128:
      return read_decimal(cell, value, into);
    case CellKind::date:
      return read_parsed(cell, value, parse_date,
                         [&](int32_t days) { std::memcpy(into, &days, sizeof days); });
    case CellKind::time:
      return read_parsed(cell, value, parse_time,
                         [&](int64_t micros) { std::memcpy(into, &micros, sizeof micros); });
    case CellKind::timestamp:
    case CellKind::timestamp_tz:
      return read_timestamp(cell, value, into);
    case CellKind::uuid:
      return read_parsed(cell, value, parse_uuid, [&](unsigned __int128 uuid) {
        duckdb::hugeint_t stored = to_hugeint(static_cast<Int128>(uuid ^ kUuidTopBit));
        std::memcpy(into, &stored, sizeof stored);
      });
    default:
      break;
  }
  return refuse_cell("of a type that JSON does not carry");
}

bool JsonReader::read_text(const CellType& cell, Value& value, std::string_view& text) {
  if (auto error = value.get_string().get(text)) {
    json_type type{};
    bool string = !value.type().get(type) && type == json_type::string;
    return string ? refuse_cell(simdjson::error_message(error)) : refuse_type(cell, value);
  }
  if (cell.kind != CellKind::blob) return true;
  scratch_.clear();
  if (!parse_base64(text, scratch_)) return refuse_cell("the string is not base64");
  text = scratch_;
  return true;
}

bool JsonReader::read_nested(const CellType& cell, Value& value, int depth, duckdb::Value& out) {
  if (depth > kDepthMax) return refuse_cell(fmt::format("nested deeper than {}", kDepthMax));
  bool is_null = false;
  if (value.is_null().get(is_null)) return refuse_cell("not a JSON value");
  if (is_null) {
    out = duckdb::Value(cell.type);
    return true;
  }
  if (cell.kind == CellKind::list) return read_list(cell, value, depth, out);
  if (cell.kind == CellKind::structure) return read_struct(cell, value, depth, out);
  if (cell.is_fixed()) {
    alignas(16) std::byte raw[16];
    if (!read_fixed(cell, value, raw)) return false;
    out = fixed_value(cell, raw);
    return true;
  }
  std::string_view text;
  if (!read_text(cell, value, text)) return false;
  out = cell.kind == CellKind::blob
            ? duckdb::Value::BLOB(reinterpret_cast<duckdb::const_data_ptr_t>(text.data()),
                                  text.size())
            : duckdb::Value(std::string(text));
  return true;
}

bool JsonReader::read_list(const CellType& cell, Value& value, int depth, duckdb::Value& out) {
  simdjson::ondemand::array array;
  if (value.get_array().get(array)) return refuse_type(cell, value);
  duckdb::vector<duckdb::Value> elements;
  for (auto each : array) {
    Value element;
    if (auto error = std::move(each).get(element)) return refuse_json(error);
    elements.emplace_back();
    if (!read_nested(cell.children[0], element, depth + 1, elements.back())) return false;
  }
  out = duckdb::Value::LIST(cell.children[0].type, std::move(elements));
  return true;
}

bool JsonReader::read_struct(const CellType& cell, Value& value, int depth, duckdb::Value& out) {
  simdjson::ondemand::object object;
  if (value.get_object().get(object)) return refuse_type(cell, value);
  duckdb::vector<duckdb::Value> members;
  std::vector<bool> seen(cell.members.size());
  for (const auto& child : cell.children) members.emplace_back(child.type);
  for (auto each : object) {
    simdjson::ondemand::field field;
    std::string_view key;
    if (auto error = std::move(each).get(field)) return refuse_json(error);
    if (auto error = field.unescaped_key().get(key)) return refuse_json(error);
    size_t index = 0;
    while (index < cell.members.size() && cell.members[index] != key) ++index;
    Value member = field.value();
    if (index == cell.members.size()) {
      if (!skip(member, depth + 1)) return false;
      continue;
    }
    if (seen[index])
      return refuse_cell(fmt::format("member \"{}\" is there twice", cell.members[index]));
    seen[index] = true;
    if (!read_nested(cell.children[index], member, depth + 1, members[index])) return false;
  }
  out = duckdb::Value::STRUCT(cell.type, std::move(members));
  return true;
}

bool JsonReader::skip(Value& value, int depth) {
  if (depth > kDepthMax) return refuse_cell(fmt::format("nested deeper than {}", kDepthMax));
  json_type type{};
  if (auto error = value.type().get(type)) return refuse_json(error);
  bool flag = false;
  double number = 0;
  std::string_view text;
  switch (type) {
    case json_type::null:
      return !value.is_null().get(flag) && flag ? true : refuse_cell("not a JSON value");
    case json_type::boolean:
      return !value.get_bool().get(flag) ? true : refuse_cell("not a JSON value");
    case json_type::number:
      return !value.get_double().get(number) ? true : refuse_cell("not a number");
    case json_type::string:
      return !value.get_string().get(text) ? true : refuse_cell("a broken string");
    case json_type::array: {
      simdjson::ondemand::array array;
      if (auto error = value.get_array().get(array)) return refuse_json(error);
      for (auto each : array) {
        Value element;
        if (auto error = std::move(each).get(element)) return refuse_json(error);
        if (!skip(element, depth + 1)) return false;
      }
      return true;
    }
    case json_type::object: {
      simdjson::ondemand::object object;
      if (auto error = value.get_object().get(object)) return refuse_json(error);
      for (auto each : object) {
        simdjson::ondemand::field field;
        if (auto error = std::move(each).get(field)) return refuse_json(error);
        if (auto error = field.unescaped_key().get(text)) return refuse_json(error);
        Value member = field.value();
        if (!skip(member, depth + 1)) return false;
      }
      return true;
    }
  }
  return refuse_cell("not a JSON value");
}

}  // namespace ziwa::data
