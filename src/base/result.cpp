#include "base/result.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace ziwa {

std::string_view code_name(Code code) {
  switch (code) {
#define ZIWA_CODE(name, http, sqlstate, kafka) \
  case Code::name:                             \
    return #name;
#define ZIWA_CAUSE(name, code, sqlstate)
#include "base/error_table.inc"
#undef ZIWA_CODE
#undef ZIWA_CAUSE
  }
  return "internal";
}

std::string_view cause_name(Cause cause) {
  switch (cause) {
#define ZIWA_CODE(name, http, sqlstate, kafka)
#define ZIWA_CAUSE(name, code, sqlstate) \
  case Cause::name:                      \
    return #name;
#include "base/error_table.inc"
#undef ZIWA_CODE
#undef ZIWA_CAUSE
  }
  return "unknown";
}

Code code_of(Cause cause) {
  switch (cause) {
#define ZIWA_CODE(name, http, sqlstate, kafka)
#define ZIWA_CAUSE(name, code, sqlstate) \
  case Cause::name:                      \
    return Code::code;
#include "base/error_table.inc"
#undef ZIWA_CODE
#undef ZIWA_CAUSE
  }
  return Code::internal;
}

Error::Error(Code code, Formatted message)
    : detail_(std::make_unique<Detail>(Detail{code, {}, std::move(message.text), {}, {}})) {}

Error::Error(const Error& other)
    : detail_(other.detail_ ? std::make_unique<Detail>(*other.detail_) : nullptr) {}

Error& Error::operator=(const Error& other) {
  if (this != &other) detail_ = other.detail_ ? std::make_unique<Detail>(*other.detail_) : nullptr;
  return *this;
}

Code Error::code() const { return detail_->code; }
const std::string& Error::message() const { return detail_->message; }
const std::string& Error::hint() const { return detail_->hint; }
std::optional<size_t> Error::position() const { return detail_->position; }
std::optional<Cause> Error::cause() const { return detail_->cause; }

Error&& Error::with_hint(std::string hint) && {
  detail_->hint = std::move(hint);
  return std::move(*this);
}

Error&& Error::at(size_t position) && {
  detail_->position = position;
  return std::move(*this);
}

Error&& Error::because(Cause cause) && {
  CHECK(code_of(cause) == detail_->code, "{} is no cause of {}", cause_name(cause),
        code_name(detail_->code));
  detail_->cause = cause;
  return std::move(*this);
}

Error&& Error::context(std::string_view what) && {
  detail_->message = fmt::format("{}: {}", what, detail_->message);
  return std::move(*this);
}

std::string Error::to_string() const {
  std::string line = fmt::format("{}: {}", code_name(code()), message());
  if (!hint().empty()) line += fmt::format(" (hint: {})", hint());
  return line;
}

Error errno_error(int error_number, std::string_view what) {
  Code code = Code::io;
  if (error_number == ENOSPC || error_number == EDQUOT) {
    return Error(Code::exhausted, "{}: {}", what, std::strerror(error_number))
        .because(Cause::disk_full);
  }
  if (error_number == ENOENT) code = Code::not_found;
  if (error_number == EEXIST) code = Code::already_exists;
  return Error(code, "{}: {}", what, std::strerror(error_number));
}

void check_failed(const char* condition, const char* file, int line, std::string message) {
  std::fprintf(stderr, "CHECK failed at %s:%d: %s %s\n", file, line, condition, message.c_str());
  std::fflush(stderr);
  std::abort();
}

}  // namespace ziwa
