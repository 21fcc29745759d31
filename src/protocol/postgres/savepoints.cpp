#include "protocol/postgres/savepoints.h"

#include "base/text.h"
#include "protocol/postgres/client_settings.h"

#include <algorithm>

namespace ziwa::protocol::postgres {
namespace {

struct Parsed {
  bool release = false;
  std::string name;
};

std::optional<Parsed> parse(std::string_view statement) {
  auto words = first_words(statement, 4);
  if (words.size() == 2 && words[0] == "savepoint") return Parsed{false, std::move(words[1])};
  if (words.size() == 2 && words[0] == "release") return Parsed{true, std::move(words[1])};
  if (words.size() == 3 && words[0] == "release" && words[1] == "savepoint") {
    return Parsed{true, std::move(words[2])};
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> Savepoints::command_of(std::string_view statement) {
  auto parsed = parse(statement);
  if (!parsed) return std::nullopt;
  return parsed->release ? "RELEASE" : "SAVEPOINT";
}

Status Savepoints::apply(std::string_view statement, bool in_transaction) {
  auto parsed = parse(statement);
  if (!in_transaction) {
    clear();
    return Error(Code::conflict, "{} is for a transaction, and there is none",
                 parsed->release ? "RELEASE" : "SAVEPOINT")
        .because(Cause::no_transaction)
        .with_hint("BEGIN");
  }
  return parsed->release ? release(parsed->name) : set(std::move(parsed->name));
}

Status Savepoints::set(std::string name) {
  if (!entries_.empty() && entries_.back().name == name) {
    ++entries_.back().times;
    return {};
  }
  if (bytes_ + name.size() + kEntryBytes > kBytesMax) {
    return Error(Code::exhausted, "the savepoints of a transaction take at most {} bytes",
                 kBytesMax);
  }
  bytes_ += name.size() + kEntryBytes;
  entries_.push_back({std::move(name)});
  return {};
}

/// What was set after it goes with it.
Status Savepoints::release(std::string_view name) {
  auto named = [&](const Entry& entry) { return entry.name == name; };
  auto last = std::find_if(entries_.rbegin(), entries_.rend(), named);
  if (last == entries_.rend()) {
    return Error(Code::conflict, "savepoint \"{}\" does not exist", name)
        .because(Cause::undefined_savepoint);
  }
  const bool again = last->times > 1;
  if (again) --last->times;
  for (auto gone = again ? last.base() : last.base() - 1; gone != entries_.end(); ++gone) {
    bytes_ -= gone->name.size() + kEntryBytes;
  }
  entries_.erase(again ? last.base() : last.base() - 1, entries_.end());
  return {};
}

void Savepoints::clear() {
  entries_.clear();
  bytes_ = 0;
}

}  // namespace ziwa::protocol::postgres
