#pragma once

namespace ziwa {

/// One function for all alternatives of a std::variant: std::visit(Overloaded{...}, variant).
template <typename... Functions>
struct Overloaded : Functions... {
  using Functions::operator()...;
};

}  // namespace ziwa
