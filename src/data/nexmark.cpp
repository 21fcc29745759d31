#include "data/nexmark.h"

#include <algorithm>
#include <cmath>

// A fused multiply-add rounds differently: prices are the same on every processor.
#pragma clang fp contract(off)

namespace ziwa::data {
namespace {

constexpr int64_t kHotGroup = 100;  ///< The first id of each such group is hot.
constexpr int64_t kHotChannels = 4;
constexpr int64_t kStringSizeMin = 3;
constexpr int64_t kLettersSize = int64_t{1} << 20;
constexpr int64_t kLastMs = 253'402'300'799'999;  ///< 9999-12-31 23:59:59.999
constexpr int64_t kPersonSize = 200;              ///< Bytes of an event, on average.
constexpr int64_t kAuctionSize = 500;
constexpr int64_t kBidSize = 100;

constexpr std::array<std::string_view, 11> kFirstNames = {
    "Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"};
constexpr std::array<std::string_view, 9> kLastNames = {
    "Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"};
constexpr std::array<std::string_view, 10> kCities = {
    "Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland",
    "Bend",    "Redmond",     "Seattle",       "Kent",  "Cheyenne"};
constexpr std::array<std::string_view, 6> kStates = {"AZ", "CA", "ID", "OR", "WA", "WY"};
constexpr std::array<std::string_view, kHotChannels> kHotNames = {"Google", "Facebook", "Baidu",
                                                                  "Apple"};

/// SplitMix64's finalizer.
uint64_t mixed(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

/// The 32 bits of `x` in reverse order.
uint32_t reversed(uint32_t x) { return __builtin_bitreverse32(x); }

}  // namespace

/// SplitMix64.
class NexmarkGenerator::Random {
 public:
  /// `stream` tells apart what is drawn for different things.
  Random(uint64_t seed, uint64_t stream, uint64_t number)
      : state_(mixed(mixed(seed + 0x9e3779b97f4a7c15 * stream) ^ (number + 1))) {}

  uint64_t bits() { return mixed(state_ += 0x9e3779b97f4a7c15); }
  /// 0..bound-1; bound is positive.
  int64_t below(int64_t bound) {
    return static_cast<int64_t>(
        (static_cast<unsigned __int128>(bits()) * static_cast<uint64_t>(bound)) >> 64);
  }
  template <size_t N>
  std::string_view one_of(const std::array<std::string_view, N>& values) {
    return values[static_cast<size_t>(below(N))];
  }
  /// Letters, one in 13 of them `special`, of a random size below `size_max`; none of the spaces at
  /// its ends.
  void append_string(std::string& out, int64_t size_max, char special) {
    const size_t begin = out.size();
    for (int64_t left = kStringSizeMin + below(size_max - kStringSizeMin); left > 0; --left) {
      // One draw for both: its high half decides what kind of letter, its low half which.
      const uint64_t draw = bits();
      if (((draw >> 32) * 13) >> 32 == 0) {
        if (special != ' ' || out.size() > begin) out.push_back(special);
      } else {
        out.push_back(static_cast<char>('a' + (((draw & 0xffffffff) * 26) >> 32)));
      }
    }
    while (out.size() > begin && out.back() == ' ') out.pop_back();
  }

 private:
  uint64_t state_;
};

Result<NexmarkGenerator> NexmarkGenerator::create(const NexmarkOptions& options) {
  if (options.rate < 1 || options.rate > kRateMax)
    return Error(Code::invalid_argument, "rate must be 1 to {} events per second", kRateMax);
  if (options.disorder < 0 || options.disorder > kDisorderMax)
    return Error(Code::invalid_argument, "disorder must be 0 to {} events", kDisorderMax);
  if (options.start_ms < 0 || options.start_ms > kLastMs)
    return Error(Code::invalid_argument, "start must be a time from 1970 to 9999");
  return NexmarkGenerator(options);
}

NexmarkGenerator::NexmarkGenerator(const NexmarkOptions& options) : options_(options) {
  // Primes, whose product is above kDisorderMax: one of them does not divide the group's size.
  for (int64_t prime : {941, 947, 953}) {
    if (options_.disorder > 1 && options_.disorder % prime != 0) stride_ = prime;
  }
  Random letters(options_.seed, 1, 0);
  letters_.resize(static_cast<size_t>(kLettersSize));
  for (char& letter : letters_) letter = static_cast<char>('a' + letters.below(26));
  channels_.resize(kHotChannels + kChannels);
  for (int64_t i = 0; i < std::ssize(channels_); ++i) {
    Random random(options_.seed, 2, static_cast<uint64_t>(i));
    auto& [name, url] = channels_[static_cast<size_t>(i)];
    url = "https://www.nexmark.com/";
    for (int folder = 0; folder < 3; ++folder) {
      random.append_string(url, 5, '_');
      url += '/';
    }
    url += "item.htm?query=1";
    if (i < kHotChannels) {
      name = kHotNames[static_cast<size_t>(i)];
      continue;
    }
    const int64_t channel = i - kHotChannels;
    name = fmt::format("channel-{}", channel);
    if (random.below(10) > 0) {
      const auto id = static_cast<int32_t>(reversed(static_cast<uint32_t>(channel)));
      url += fmt::format("&channel_id={}", std::abs(static_cast<int64_t>(id)));
    }
  }
  // Square roots are exact in the last bit everywhere, std::pow is not.
  double step = 1e6;
  for (size_t size = 1; size < powers_.size(); size *= 2) step = std::sqrt(step);
  powers_[0] = 1;
  for (size_t i = 1; i < powers_.size(); ++i) powers_[i] = powers_[i - 1] * step;
}

int64_t NexmarkGenerator::number_at(int64_t place) const {
  if (options_.disorder <= 1) return place;
  const int64_t offset = place % options_.disorder;
  return place - offset + offset * stride_ % options_.disorder;
}

int64_t NexmarkGenerator::time_of(int64_t number) const {
  return options_.start_ms + number / options_.rate * 1000 +
         number % options_.rate * 1000 / options_.rate;
}

int64_t NexmarkGenerator::last_person(int64_t number) { return number / kCycle * kPeopleOfCycle; }

int64_t NexmarkGenerator::last_auction(int64_t number) {
  const int64_t auctions =
      std::clamp(number % kCycle - kPeopleOfCycle + 1, int64_t{0}, kAuctionsOfCycle);
  return number / kCycle * kAuctionsOfCycle + auctions - 1;
}

void NexmarkGenerator::event_at(int64_t place, NexmarkEvent& out) const {
  const int64_t number = number_at(place);
  Random random(options_.seed, 0, static_cast<uint64_t>(number));
  out.time_ms = time_of(number);
  const int64_t offset = number % kCycle;
  if (offset < kPeopleOfCycle) {
    out.kind = NexmarkEvent::Kind::person;
    make_person(number, random, out.person);
  } else if (offset < kPeopleOfCycle + kAuctionsOfCycle) {
    out.kind = NexmarkEvent::Kind::auction;
    make_auction(number, random, out.auction);
  } else {
    out.kind = NexmarkEvent::Kind::bid;
    make_bid(number, random, out.bid);
  }
}

void NexmarkGenerator::make_person(int64_t number, Random& random, NexmarkPerson& out) const {
  out.id = kFirstId + last_person(number);
  out.name = random.one_of(kFirstNames);
  out.name += ' ';
  out.name += random.one_of(kLastNames);
  out.email_address.clear();
  random.append_string(out.email_address, 7, ' ');
  out.email_address += '@';
  random.append_string(out.email_address, 5, ' ');
  out.email_address += ".com";
  out.credit_card.clear();
  for (int group = 0; group < 4; ++group) {
    if (group > 0) out.credit_card += ' ';
    fmt::format_to(std::back_inserter(out.credit_card), "{:04}", random.below(10'000));
  }
  out.city = random.one_of(kCities);
  out.state = random.one_of(kStates);
  const size_t size = 8 + out.name.size() + out.email_address.size() + out.credit_card.size() +
                      out.city.size() + out.state.size();
  out.extra = extra(random, static_cast<int64_t>(size), kPersonSize);
}

void NexmarkGenerator::make_auction(int64_t number, Random& random, NexmarkAuction& out) const {
  out.id = kFirstId + last_auction(number);
  const bool hot = random.below(4) > 0;
  out.seller =
      kFirstId + (hot ? last_person(number) / kHotGroup * kHotGroup : some_person(number, random));
  out.category = kFirstCategory + random.below(kCategories);
  out.initial_bid = price(random);
  // On average as long as it takes until so many auctions more have begun.
  const int64_t begin = time_of(number);
  const int64_t ahead = time_of(number + kInFlightAuctions * kCycle / kAuctionsOfCycle) - begin;
  out.expires_ms = begin + 1 + random.below(std::max<int64_t>(2 * ahead, 1));
  out.item_name.clear();
  random.append_string(out.item_name, 20, ' ');
  out.description.clear();
  random.append_string(out.description, 100, ' ');
  out.reserve = out.initial_bid + price(random);
  const size_t size = 48 + out.item_name.size() + out.description.size();
  out.extra = extra(random, static_cast<int64_t>(size), kAuctionSize);
}

void NexmarkGenerator::make_bid(int64_t number, Random& random, NexmarkBid& out) const {
  const bool hot_auction = random.below(2) > 0;
  out.auction = kFirstId + (hot_auction ? last_auction(number) / kHotGroup * kHotGroup
                                        : some_auction(number, random));
  const bool hot_bidder = random.below(4) > 0;
  // The second of the group, so that the hot bidder is not the hot seller.
  out.bidder = kFirstId + (hot_bidder ? last_person(number) / kHotGroup * kHotGroup + 1
                                      : some_person(number, random));
  out.price = price(random);
  const int64_t channel =
      random.below(2) > 0 ? random.below(kHotChannels) : kHotChannels + random.below(kChannels);
  out.channel = channels_[static_cast<size_t>(channel)].name;
  out.url = channels_[static_cast<size_t>(channel)].url;
  out.extra = extra(random, 32, kBidSize);
}

int64_t NexmarkGenerator::some_person(int64_t number, Random& random) {
  const int64_t people = last_person(number) + 1;
  const int64_t active = std::min(people, kActivePeople);
  return people - active + random.below(active + kLead);
}

int64_t NexmarkGenerator::some_auction(int64_t number, Random& random) {
  const int64_t last = last_auction(number);
  const int64_t first = std::max<int64_t>(last - kInFlightAuctions, 0);
  return first + random.below(last - first + 1 + kLead);
}

int64_t NexmarkGenerator::price(Random& random) const {
  const uint64_t draw = random.bits();
  const double rest = static_cast<double>(draw >> 22 & 0xffffffff) * 0x1p-32;
  // e^x by its series: x is below 0.0135, so the sixth term is below the last bit.
  const double x = rest * (6 * 2.302585092994046 / 1024);
  const double power = 1 + x * (1 + x / 2 * (1 + x / 3 * (1 + x / 4 * (1 + x / 5))));
  return std::llround(powers_[draw >> 54] * power * 100);
}

std::string_view NexmarkGenerator::extra(Random& random, int64_t size, int64_t wanted) const {
  if (size > wanted) return {};
  const int64_t mean = wanted - size;
  const int64_t delta = (mean + 2) / 5;  // A fifth, rounded.
  const int64_t length = mean - delta + (delta == 0 ? 0 : random.below(2 * delta));
  return std::string_view(letters_).substr(static_cast<size_t>(random.below(kLettersSize - length)),
                                           static_cast<size_t>(length));
}

}  // namespace ziwa::data
