#include "protocol/http/sql_request.h"

#include "base/json_depth.h"
#include "sql/tokenizer.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <set>
#include <utility>

namespace ziwa::protocol::http {

namespace {

/// Takes the pieces of the body as the parser finds them: a tree of them would round numbers.
class RequestReader final : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return add("null", Kind::null); }
  bool boolean(bool value) override { return add(value ? "true" : "false", Kind::other); }
  bool number_integer(int64_t value) override {
    return add(fmt::format("{}", value), Kind::number);
  }
  bool number_unsigned(uint64_t value) override {
    return add(fmt::format("{}", value), Kind::number);
  }
  bool number_float(double, const std::string& digits) override {
    return add(digits, Kind::number);
  }
  bool string(std::string& text) override { return add(text, Kind::string); }
  bool binary(nlohmann::json::binary_t&) override { return false; }

  bool start_object(size_t) override { return depth_ == 0 ? ++depth_ > 0 : open('{'); }
  bool key(std::string& name) override {
    if (depth_ > 1) {
      nest(quoted(name) + ":");
      return true;
    }
    member_ = name;
    if (name != "sql" && name != "parameters") {
      return refuse(fmt::format("the body has no member \"{}\"", name));
    }
    return seen_.insert(name).second || refuse(fmt::format("\"{}\" is given twice", name));
  }
  bool end_object() override { return close('}'); }
  bool start_array(size_t) override {
    if (depth_ == 1 && member_ == "parameters") return ++depth_ > 0;
    return open('[');
  }
  bool end_array() override { return close(']'); }
  bool parse_error(size_t, const std::string&, const nlohmann::json::exception& error) override {
    constexpr int kNumberOverflow = 406;
    return error.id == kNumberOverflow && refuse("a number is too large for a double");
  }

  /// Of a whole body: the text is there.
  bool complete() const { return seen_.contains("sql"); }
  std::string text;
  RestSql sql;
  std::string refusal;

 private:
  enum class Kind : unsigned char { null, number, string, other };

  static std::string quoted(const std::string& text) { return nlohmann::json(text).dump(); }
  bool refuse(std::string why) {
    refusal = std::move(why);
    return false;
  }
  /// A piece of a parameter that is a list or an object.
  void nest(const std::string& piece) {
    if (!nested_.empty() && !std::string_view("[{:").contains(nested_.back())) nested_ += ',';
    nested_ += piece;
  }
  bool add(const std::string& piece, Kind kind) {
    if (depth_ > 2) {
      nest(kind == Kind::string ? quoted(piece) : piece);
      return true;
    }
    if (depth_ == 2) {
      if (kind == Kind::number) sql.numbers.insert(sql.parameters.size());
      sql.parameters.push_back(kind == Kind::null ? std::nullopt : std::optional(piece));
      return true;
    }
    if (depth_ == 0) return false;
    if (member_ == "parameters") return refuse("parameters is a list");
    text = piece;
    return kind == Kind::string;
  }
  bool open(char bracket) {
    if (depth_ == 1 && member_ == "parameters") return refuse("parameters is a list");
    if (depth_ < 2) return false;
    ++depth_;
    nest(std::string(1, bracket));
    return true;
  }
  bool close(char bracket) {
    if (--depth_ < 2) return true;
    nested_ += bracket;
    if (depth_ == 2) sql.parameters.emplace_back(std::exchange(nested_, {}));
    return true;
  }

  size_t depth_ = 0;  ///< 1: members of the body, 2: parameters.
  std::string member_;
  std::set<std::string> seen_;
  std::string nested_;
};

}  // namespace

std::optional<size_t> SqlRequest::character_of(const Error& error) const {
  if (!error.position() || *error.position() > sql.text.size()) return std::nullopt;
  const auto before = std::string_view(text).substr(0, begin + *error.position());
  return static_cast<size_t>(std::ranges::count_if(
      before, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

Result<SqlRequest> parse_sql_request(std::string_view body) {
  if (json_nests_deeper(body)) {
    return Error(Code::invalid_argument, "the body nests deeper than {} levels", kJsonDepthMax)
        .with_hint("send nested values as texts and cast them in the statement");
  }
  constexpr std::string_view kForm = R"({"sql":"...","parameters":[...]})";
  RequestReader request;
  if (!nlohmann::json::sax_parse(body, &request) || !request.complete()) {
    if (request.refusal.empty()) return Error(Code::invalid_argument, "the body is {}", kForm);
    return Error(Code::invalid_argument, "{}", request.refusal)
        .with_hint(fmt::format("the body is {}", kForm));
  }
  auto statements = sql::split_statements(request.text);
  if (statements.size() != 1) {
    return Error(Code::invalid_argument, "the body holds one statement, not {}", statements.size());
  }
  request.sql.text =
      request.text.substr(statements[0].begin, statements[0].end - statements[0].begin);
  request.sql.filter_values = request.sql.parameters.size();
  return SqlRequest{
      .sql = std::move(request.sql), .text = std::move(request.text), .begin = statements[0].begin};
}

}  // namespace ziwa::protocol::http
