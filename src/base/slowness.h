#pragma once

namespace ziwa {

/// How many times slower than usual this build is, about.
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr int kSlowness = 10;
#else
inline constexpr int kSlowness = 1;
#endif

}  // namespace ziwa
