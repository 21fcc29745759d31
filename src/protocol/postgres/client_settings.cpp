#include "protocol/postgres/client_settings.h"

#include "base/text.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace ziwa::protocol::postgres {
namespace {

constexpr size_t kWordsMax = 24;
constexpr size_t kValueBytesMax = 1024;

struct Known {
  std::string_view name;
  std::string_view value;
  bool reported = false;   ///< ParameterStatus tells it.
  bool read_only = false;  ///< SET is refused.
};

// The first ten are what Postgres 15 reports at the start of a connection.
constexpr auto kKnown = std::to_array<Known>({
    {"application_name", "", true},
    {"client_encoding", "UTF8", true},
    {"datestyle", "ISO, MDY", true},
    {"default_transaction_read_only", "off", true},
    {"integer_datetimes", "on", true, true},
    {"intervalstyle", "postgres", true},
    {"server_encoding", "UTF8", true, true},
    {"server_version", "15.0", true, true},
    {"standard_conforming_strings", "on", true},
    {"timezone", "UTC", true},
    {"bytea_output", "hex"},
    {"check_function_bodies", "on"},
    {"client_min_messages", "notice"},
    {"default_transaction_isolation", "repeatable read"},
    {"extra_float_digits", "1"},
    {"idle_in_transaction_session_timeout", "0"},
    {"jit", "off"},
    {"lc_collate", "C", false, true},
    {"lc_ctype", "C", false, true},
    {"lc_messages", "C"},
    {"lc_monetary", "C"},
    {"lc_numeric", "C"},
    {"lc_time", "C"},
    {"lock_timeout", "0"},
    {"max_identifier_length", "63", false, true},
    {"max_index_keys", "32", false, true},
    {"row_security", "on"},
    {"server_version_num", "150000", false, true},
    {"session_authorization", "ziwa"},
    {"statement_timeout", "0"},
    {"synchronize_seqscans", "on"},
    {"transaction_isolation", "repeatable read"},
    {"transaction_read_only", "off"},
    {"xmloption", "content"},
});

const Known* find_known(std::string_view name) {
  auto found = std::ranges::find(kKnown, name, &Known::name);
  return found == kKnown.end() ? nullptr : &*found;
}

/// ParameterStatus spells two names its own way.
std::string reported_name(std::string_view name) {
  if (name == "datestyle") return "DateStyle";
  if (name == "timezone") return "TimeZone";
  if (name == "intervalstyle") return "IntervalStyle";
  return std::string(name);
}

bool is_word(char c) {
  auto byte = static_cast<unsigned char>(c);
  return std::isalnum(byte) || c == '_' || c == '.' || c == '-' || c == '+' || byte >= 0x80;
}

/// Skips spaces and comments from `at`.
size_t skip_space(std::string_view text, size_t at) {
  while (at < text.size()) {
    if (std::isspace(static_cast<unsigned char>(text[at]))) {
      ++at;
    } else if (text.substr(at, 2) == "--") {
      at = std::min(text.find('\n', at), text.size());
    } else if (text.substr(at, 2) == "/*") {
      size_t end = text.find("*/", at + 2);
      at = end == std::string_view::npos ? text.size() : end + 2;
    } else {
      break;
    }
  }
  return at;
}

std::string joined(const std::vector<std::string>& words, size_t from) {
  std::string text;
  for (size_t i = from; i < words.size(); ++i) {
    if (words[i] == ",") {
      text += ",";
    } else {
      text += (text.empty() ? "" : " ") + words[i];
    }
  }
  return text;
}

/// Accepted, it would be a promise that nobody keeps.
Error no_read_only_sessions() {
  return Error(Code::unsupported, "a session cannot be read-only")
      .with_hint("BEGIN READ ONLY makes a transaction so");
}

/// READ ONLY among the modes of SET TRANSACTION.
bool names_read_only(const std::vector<std::string>& words) {
  auto read = std::ranges::adjacent_find(words, [](const auto& word, const auto& next) {
    return lower(word) == "read" && lower(next) == "only";
  });
  return read != words.end();
}

/// Refuses values that would make our answers wrong.
Status check_value(const std::string& name, const std::string& value) {
  std::string low = lower(value);
  auto refused = [&](std::string_view only) {
    return Error(Code::unsupported, "{} can only be {}, not \"{}\"", reported_name(name), only,
                 value);
  };
  std::erase_if(low, [](char c) { return c == '-' || c == ' ' || c == '\''; });
  if (name == "client_encoding" && low != "utf8" && low != "unicode") return refused("UTF8");
  if (name == "datestyle" && !low.starts_with("iso")) return refused("ISO");
  if (name == "intervalstyle" && low != "postgres") return refused("postgres");
  if (name == "standard_conforming_strings" && low != "on" && low != "true" && low != "1") {
    return refused("on");
  }
  constexpr std::array<std::string_view, 6> kUtc = {"utc",     "gmt",   "etc/utc",
                                                    "default", "local", "zulu"};
  if (name == "timezone" && std::ranges::find(kUtc, low) == kUtc.end()) return refused("UTC");
  constexpr std::array<std::string_view, 4> kOff = {"off", "false", "no", "0"};
  const bool off = std::ranges::any_of(kOff, [&](std::string_view word) {
    return !low.empty() && word.starts_with(low) && low != "o";  // As Postgres reads a boolean.
  });
  if (!off && name.ends_with("transaction_read_only")) return no_read_only_sessions();
  return {};
}

}  // namespace

std::vector<std::string> first_words(std::string_view statement, size_t limit) {
  std::vector<std::string> words;
  size_t at = 0;
  while (words.size() < limit) {
    at = skip_space(statement, at);
    if (at >= statement.size()) break;
    char c = statement[at];
    if (c == '\'' || c == '"') {
      std::string text;
      for (++at; at < statement.size(); ++at) {
        bool doubled = at + 1 < statement.size() && statement[at + 1] == c;
        if (statement[at] == c && !doubled) break;
        if (statement[at] == c) ++at;
        text.push_back(statement[at]);
      }
      ++at;
      words.push_back(text);
    } else if (is_word(c)) {
      size_t end = at;
      while (end < statement.size() && is_word(statement[end])) ++end;
      words.push_back(lower(statement.substr(at, end - at)));
      at = end;
    } else {
      words.emplace_back(1, c);
      ++at;
    }
  }
  return words;
}

ClientSettings::ClientSettings(std::string_view server_version) {
  for (const auto& known : kKnown) values_.emplace(known.name, known.value);
  values_["server_version"] = server_version;
  end_startup();
}

Status ClientSettings::start(std::string_view name, std::string_view value) {
  std::string key = lower(name);
  const Known* known = find_known(key);
  if (known == nullptr || known->read_only) return {};
  // A driver sends its own zone at the start without being asked to; answers are in UTC all the
  // same, and we say so.
  if (key == "timezone") return {};
  TRY(set(key, std::string(value)));
  return {};
}

std::vector<std::pair<std::string, std::string>> ClientSettings::reported() const {
  std::vector<std::pair<std::string, std::string>> list;
  for (const auto& known : kKnown) {
    if (known.reported) {
      list.emplace_back(reported_name(known.name), values_.at(std::string(known.name)));
    }
  }
  list.emplace_back("is_superuser", "on");
  list.emplace_back("session_authorization", values_.at("session_authorization"));
  return list;
}

Result<std::optional<DoorAnswer>> ClientSettings::set_known(const std::string& name,
                                                            std::string value) {
  using Answer = std::optional<DoorAnswer>;
  if (find_known(name) == nullptr) return Answer();
  return Answer(TRY(set(name, std::move(value))));
}

Result<DoorAnswer> ClientSettings::set(const std::string& name, std::string value) {
  const Known* known = find_known(name);
  if (known->read_only) {
    return Error(Code::permission, "parameter \"{}\" cannot be changed", name);
  }
  if (value.size() > kValueBytesMax) {
    return Error(Code::exhausted, "the value of {} is longer than {} bytes", name, kValueBytesMax);
  }
  if (lower(value) == "default") value = at_start_.at(name);
  TRY(check_value(name, value));
  if (name == "client_encoding") value = "UTF8";
  if (name == "timezone") value = "UTC";
  values_[name] = value;
  DoorAnswer answer{.command = "SET"};
  if (known->reported) answer.reported.emplace_back(reported_name(name), value);
  return answer;
}

Result<std::optional<DoorAnswer>> ClientSettings::answer(std::string_view statement) {
  auto words = first_words(statement, kWordsMax);
  using Answer = std::optional<DoorAnswer>;
  if (words.size() < 2) return Answer();
  const std::string verb = words[0];
  if (verb == "discard" && words[1] == "all" && words.size() == 2) {
    values_ = at_start_;
    return Answer(DoorAnswer{.command = "DISCARD ALL", .reported = reported()});
  }
  if (verb != "set" && verb != "show" && verb != "reset") return Answer();

  if (verb == "set" && (words[1] == "session" || words[1] == "local") && words.size() > 2) {
    if (words[2] == "characteristics") {
      if (names_read_only(words)) return no_read_only_sessions();
      return Answer(DoorAnswer{.command = "SET"});
    }
    words.erase(words.begin() + 1);
  }
  if (verb == "set" && words[1] == "transaction") {
    if (names_read_only(words)) return no_read_only_sessions();
    return Answer(DoorAnswer{.command = "SET"});
  }
  // Three settings have a spelling of their own.
  if (words[1] == "time" && words.size() > 2 && words[2] == "zone") {
    words.erase(words.begin() + 2);
    words[1] = "timezone";
    if (verb == "set") words.insert(words.begin() + 2, "=");
  } else if (words[1] == "transaction" && words.size() > 2 && words[2] == "isolation") {
    words[1] = "transaction_isolation";
  } else if (words[1] == "names" && verb == "set") {
    words[1] = "client_encoding";
    words.insert(words.begin() + 2, "=");
  }
  std::string name = lower(words[1]);
  if (verb == "reset" && name == "all" && words.size() == 2) {
    values_ = at_start_;
    return Answer(DoorAnswer{.command = "RESET", .reported = reported()});
  }
  const Known* known = find_known(name);
  if (known == nullptr) return Answer();
  if (verb == "show") {
    return Answer(
        DoorAnswer{.command = "SHOW", .column = reported_name(name), .value = values_.at(name)});
  }
  if (verb == "reset") {
    auto answer = TRY(set(name, "default"));
    answer.command = "RESET";
    return Answer(std::move(answer));
  }
  if (words.size() < 4 || (words[2] != "=" && words[2] != "to")) return Answer();
  return Answer(TRY(set(name, joined(words, 3))));
}

std::string ClientSettings::simplify(std::string_view statement) {
  auto words = first_words(statement, kWordsMax);
  if (words.empty()) return std::string(statement);
  auto rest_is = [&](size_t from, std::initializer_list<std::string_view> allowed) {
    return std::all_of(
        words.begin() + static_cast<ptrdiff_t>(std::min(from, words.size())), words.end(),
        [&](const std::string& word) { return std::ranges::find(allowed, word) != allowed.end(); });
  };
  const auto modes = {std::string_view("work"),       std::string_view("transaction"),
                      std::string_view("isolation"),  std::string_view("level"),
                      std::string_view("read"),       std::string_view("write"),
                      std::string_view("committed"),  std::string_view("uncommitted"),
                      std::string_view("repeatable"), std::string_view("serializable"),
                      std::string_view("not"),        std::string_view("deferrable"),
                      std::string_view(","),          std::string_view("only"),
                      std::string_view(";")};
  bool begins =
      (words[0] == "begin" && rest_is(1, modes)) ||
      (words[0] == "start" && words.size() > 1 && words[1] == "transaction" && rest_is(2, modes));
  if (begins) {
    bool read_only = std::ranges::find(words, "only") != words.end();
    return read_only ? "BEGIN TRANSACTION READ ONLY" : "BEGIN";
  }
  bool bare = rest_is(1, {"work", "transaction", ";"});
  if ((words[0] == "end" || words[0] == "commit") && bare) return "COMMIT";
  if ((words[0] == "abort" || words[0] == "rollback") && bare) return "ROLLBACK";
  return std::string(statement);
}

}  // namespace ziwa::protocol::postgres
