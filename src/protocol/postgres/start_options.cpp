#include "protocol/postgres/start_options.h"

#include "base/text.h"

#include <algorithm>
#include <cctype>

namespace ziwa::protocol::postgres {
namespace {

std::vector<std::string> split(std::string_view options) {
  std::vector<std::string> words;
  bool in_word = false;
  for (size_t at = 0; at < options.size(); ++at) {
    if (std::isspace(static_cast<unsigned char>(options[at]))) {
      in_word = false;
      continue;
    }
    if (!in_word) words.emplace_back();
    in_word = true;
    if (options[at] == '\\' && ++at == options.size()) break;
    words.back().push_back(options[at]);
  }
  return words;
}

Error refused(const std::string& word) {
  return Error(Code::invalid_argument, "the start-up options hold \"{}\"", word)
      .because(Cause::syntax_error)
      .with_hint("-c name=value");
}

bool is_name(std::string_view name) {
  return !name.empty() && !std::isdigit(static_cast<unsigned char>(name[0])) &&
         std::ranges::all_of(name, [](char c) {
           return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.';
         });
}

}  // namespace

Result<std::vector<std::pair<std::string, std::string>>> parse_start_options(
    std::string_view options) {
  std::vector<std::pair<std::string, std::string>> settings;
  const auto words = split(options);
  for (size_t i = 0; i < words.size(); ++i) {
    std::string_view setting = words[i];
    if (setting == "-c" && i + 1 < words.size()) {
      setting = words[++i];
    } else if (setting.starts_with("-c") || setting.starts_with("--")) {
      setting.remove_prefix(2);
    } else {
      return refused(words[i]);
    }
    const size_t equals = setting.find('=');
    std::string name = lower(setting.substr(0, equals));
    std::ranges::replace(name, '-', '_');
    if (equals == std::string_view::npos || !is_name(name)) return refused(words[i]);
    settings.emplace_back(std::move(name), setting.substr(equals + 1));
  }
  return settings;
}

}  // namespace ziwa::protocol::postgres
