#include "protocol/postgres/numeric.h"

namespace ziwa::protocol::postgres {
namespace {

constexpr uint16_t kNegative = 0x4000;
constexpr uint16_t kNan = 0xC000;
constexpr uint16_t kInfinity = 0xD000;
constexpr uint16_t kNegativeInfinity = 0xF000;
// No type of ours has more than 39 digits before or 38 after the point; the limit keeps hostile
// input small.
constexpr int kGroupsMax = 64;

template <typename T>
void put_be(std::string& out, T value) {
  char raw[sizeof value];
  store_be(raw, value);
  out.append(raw, sizeof raw);
}

}  // namespace

void append_numeric_binary(std::string& out, std::string_view text) {
  bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  size_t point = text.find('.');
  std::string whole(text.substr(0, point));
  std::string fraction(point == std::string_view::npos ? "" : text.substr(point + 1));
  auto scale = static_cast<int16_t>(fraction.size());
  whole.insert(0, (4 - whole.size() % 4) % 4, '0');
  fraction.append((4 - fraction.size() % 4) % 4, '0');

  std::vector<int16_t> groups;
  std::string digits = whole + fraction;
  for (size_t i = 0; i < digits.size(); i += 4) {
    int group = 0;
    for (size_t j = i; j < i + 4; ++j) group = group * 10 + (digits[j] - '0');
    groups.push_back(static_cast<int16_t>(group));
  }
  auto weight = static_cast<int16_t>(static_cast<int>(whole.size() / 4) - 1);
  size_t first = 0;
  while (first < groups.size() && groups[first] == 0) {
    ++first;
    --weight;
  }
  size_t last = groups.size();
  while (last > first && groups[last - 1] == 0) --last;
  if (first == last) weight = 0;  // Zero.

  put_be(out, static_cast<int16_t>(last - first));
  put_be(out, weight);
  put_be(out, static_cast<uint16_t>(negative && last > first ? kNegative : 0));
  put_be(out, scale);
  for (size_t i = first; i < last; ++i) put_be(out, groups[i]);
}

Result<std::string> numeric_text(ByteView binary) {
  ByteReader reader(binary);
  int count = reader.be<int16_t>();
  int weight = reader.be<int16_t>();
  auto sign = reader.be<uint16_t>();
  int scale = reader.be<int16_t>();
  Error malformed = Error(Code::invalid_argument, "a numeric parameter is malformed")
                        .because(Cause::invalid_text);
  if (!reader.ok()) return malformed;
  if (sign == kNan) return std::string("NaN");
  if (sign == kInfinity) return std::string("Infinity");
  if (sign == kNegativeInfinity) return std::string("-Infinity");
  if (count < 0 || count > kGroupsMax || weight < -kGroupsMax || weight > kGroupsMax || scale < 0 ||
      scale > 4 * kGroupsMax || (sign != 0 && sign != kNegative)) {
    return malformed;
  }
  std::vector<int> groups(static_cast<size_t>(count));
  for (auto& group : groups) {
    group = reader.be<int16_t>();
    if (group < 0 || group > 9999) return malformed;
  }
  if (!reader.ok()) return malformed;
  auto group_at = [&](int power) {  // The group that counts 10000^power.
    int index = weight - power;
    return index >= 0 && index < count ? groups[static_cast<size_t>(index)] : 0;
  };
  std::string text = sign == kNegative ? "-" : "";
  if (weight < 0) text += "0";
  for (int power = weight; power >= 0; --power) {
    text += power == weight ? fmt::format("{}", group_at(power))
                            : fmt::format("{:04}", group_at(power));
  }
  if (scale > 0) {
    std::string fraction;
    for (int power = -1; fraction.size() < static_cast<size_t>(scale); --power) {
      fraction += fmt::format("{:04}", group_at(power));
    }
    text += "." + fraction.substr(0, static_cast<size_t>(scale));
  }
  return text;
}

}  // namespace ziwa::protocol::postgres
