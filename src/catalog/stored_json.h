#pragma once

#include <nlohmann/json.hpp>

#include <stdexcept>
#include <string_view>

namespace ziwa::catalog {

/// Parses JSON that holds only whole numbers. Throws std::exception for what is no JSON, and for a
/// number with a fraction or exponent: taking 1e300 as an integer would be undefined. `Json` is
/// nlohmann::json or ordered_json.
template <typename Json>
Json parse_stored_json(std::string_view text) {
  using Event = typename Json::parse_event_t;
  return Json::parse(text, [](int, Event event, Json& value) {
    if (event == Event::value && value.is_number_float())
      throw std::runtime_error("a number is not whole");
    return true;
  });
}

}  // namespace ziwa::catalog
