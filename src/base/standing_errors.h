#pragma once

#include <map>
#include <string>
#include <utility>

namespace ziwa {

/// What keeps going wrong, by subject: so that one that is tried again and again is logged when it
/// comes and when it changes. One thread.
template <typename Subject>
class StandingErrors {
 public:
  /// Whether this is news.
  bool raise(const Subject& subject, std::string text) {
    std::string& known = texts_[subject];
    if (known == text) return false;
    known = std::move(text);
    return true;
  }
  /// It is over.
  void clear(const Subject& subject) { texts_.erase(subject); }

 private:
  std::map<Subject, std::string> texts_;
};

}  // namespace ziwa
