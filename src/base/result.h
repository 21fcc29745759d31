#pragma once

#include "base/error_codes.h"

#include <fmt/core.h>

#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace ziwa {

/// The stable name of `code` as users see it, e.g. "not_found".
std::string_view code_name(Code code);
/// The stable name of `cause`, e.g. "undefined_column".
std::string_view cause_name(Cause cause);
/// The code that errors of `cause` have.
Code code_of(Cause cause);

/// An error: one owned pointer, so that Result<T> stays small. Never empty except after a move.
class Error {
 public:
  /// Formats the message with fmt: `Error(Code::not_found, "no topic named \"{}\"", name)`.
  template <typename... Args>
  Error(Code code, fmt::format_string<Args...> format, Args&&... args)
      : Error(code, Formatted{fmt::format(format, std::forward<Args>(args)...)}) {}

  Error(const Error& other);
  Error(Error&&) noexcept = default;
  Error& operator=(const Error& other);
  Error& operator=(Error&&) noexcept = default;
  ~Error() = default;

  Code code() const;
  const std::string& message() const;
  /// What the user can do, or empty.
  const std::string& hint() const;
  /// Byte position in the statement the user sent (0-based), if one is known.
  std::optional<size_t> position() const;
  /// What exactly is wrong, where that is known; code_of(*cause()) is code().
  std::optional<Cause> cause() const;

  /// Sets the hint / position; a later call replaces an earlier one.
  Error&& with_hint(std::string hint) &&;
  Error&& at(size_t position) &&;
  /// Sets the cause, which must be one of the error's code.
  Error&& because(Cause cause) &&;
  /// Puts "`what`: " before the message while an error travels up.
  Error&& context(std::string_view what) &&;

  /// One line for logs and terminals: `not_found: no topic named "x" (hint: ...)`.
  std::string to_string() const;

 private:
  struct Formatted {
    std::string text;
  };
  struct Detail {
    Code code;
    std::optional<Cause> cause;
    std::string message;
    std::string hint;
    std::optional<size_t> position;
  };
  Error(Code code, Formatted message);
  std::unique_ptr<Detail> detail_;
};

/// Builds an io error from errno-style `error_number`: ENOSPC and EDQUOT become `exhausted` with
/// the cause disk_full, ENOENT `not_found`.
Error errno_error(int error_number, std::string_view what);

/// The result of a call that can fail. A class, not an alias, so that dropping one is a compiler
/// error.
template <typename T>
class [[nodiscard]] Result : public std::expected<T, Error> {
 public:
  using Base = std::expected<T, Error>;
  using Base::Base;
  // NOLINTNEXTLINE(google-explicit-constructor): errors convert on purpose
  Result(Error error) : Base(std::unexpected(std::move(error))) {}
  /// Drops the outcome on purpose; `reason` documents why at the call site.
  void ignore([[maybe_unused]] std::string_view reason) const {}
};

template <>
class [[nodiscard]] Result<void> : public std::expected<void, Error> {
 public:
  using Base = std::expected<void, Error>;
  using Base::Base;
  // NOLINTNEXTLINE(google-explicit-constructor): errors convert on purpose
  Result(Error error) : Base(std::unexpected(std::move(error))) {}
  void ignore([[maybe_unused]] std::string_view reason) const {}
};

using Status = Result<void>;

/// What CHECK calls: says where and why on stderr, and aborts.
[[noreturn]] void check_failed(const char* condition, const char* file, int line,
                               std::string message);

}  // namespace ziwa

/// `auto x = TRY(call());` yields the value or returns the error from the enclosing function. Not
/// around co_await.
#define TRY(...)                                                            \
  ({                                                                        \
    auto&& try_result_ = (__VA_ARGS__);                                     \
    if (!try_result_.has_value()) return std::move(try_result_).error();    \
    ::ziwa::detail::take(std::forward<decltype(try_result_)>(try_result_)); \
  })

/// An invariant of ours, checked in release too; never for input. Extra arguments are an fmt
/// message.
#define CHECK(condition, ...)                                                                  \
  do {                                                                                         \
    if (!(condition)) [[unlikely]]                                                             \
      ::ziwa::check_failed(#condition, __FILE__, __LINE__, ::ziwa::detail::text(__VA_ARGS__)); \
  } while (false)

#ifdef NDEBUG
#define DCHECK(condition, ...) static_cast<void>(0)
#else
#define DCHECK(condition, ...) CHECK(condition __VA_OPT__(, ) __VA_ARGS__)
#endif

namespace ziwa::detail {
template <typename R>
auto take(R&& result) -> typename std::remove_cvref_t<R>::value_type {
  if constexpr (!std::is_void_v<typename std::remove_cvref_t<R>::value_type>) {
    return std::move(*result);
  }
}
inline std::string text() { return {}; }
template <typename... Args>
std::string text(fmt::format_string<Args...> format, Args&&... args) {
  return fmt::format(format, std::forward<Args>(args)...);
}
}  // namespace ziwa::detail
