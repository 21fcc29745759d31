#include "base/settings.h"

#include <cstddef>
#include <cstdint>

/// Any bytes as server.yaml, and as one value: what is taken is taken again as it is kept, with the
/// same meaning.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ziwa;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  Settings settings;
  auto loaded = settings.load_yaml(text, "server.yaml");
  CHECK(loaded || !loaded.error().message().empty());
  Settings kept;
  for (const SettingSpec& spec : Settings::specs()) {
    if (settings.source(spec.name) == "default") {
      settings.set(spec.name, text, "--set").ignore("few values fit");
    }
    CHECK(kept.set(spec.name, settings.text(spec.name), "--set"), "{}", spec.name);
    CHECK(kept.text(spec.name) == settings.text(spec.name), "{}", spec.name);
    CHECK(kept.integer(spec.name) == settings.integer(spec.name), "{}", spec.name);
  }
  std::vector<std::string> known = {std::string(text.substr(0, size / 2))};
  std::string near = nearest_name(text.substr(size / 2), known);
  CHECK(near.empty() || near == known[0]);
  return 0;
}
