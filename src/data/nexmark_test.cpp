#include "data/nexmark.h"

#include "base/checksum.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <set>

namespace ziwa::data {
namespace {

using Generator = NexmarkGenerator;
using Kind = NexmarkEvent::Kind;
using ::testing::HasSubstr;

Generator generator(const NexmarkOptions& options) {
  auto made = Generator::create(options);
  EXPECT_TRUE(made.has_value());
  return std::move(*made);
}

/// All that an event says, in one text.
std::string text(const NexmarkEvent& event) {
  switch (event.kind) {
    case Kind::person:
      return fmt::format("{} {} {} {} {} {} {} {}", event.time_ms, event.person.id,
                         event.person.name, event.person.email_address, event.person.credit_card,
                         event.person.city, event.person.state, event.person.extra);
    case Kind::auction:
      return fmt::format("{} {} {} {} {} {} {} {} {} {}", event.time_ms, event.auction.id,
                         event.auction.item_name, event.auction.description,
                         event.auction.initial_bid, event.auction.reserve, event.auction.expires_ms,
                         event.auction.seller, event.auction.category, event.auction.extra);
    case Kind::bid:
      return fmt::format("{} {} {} {} {} {} {}", event.time_ms, event.bid.auction, event.bid.bidder,
                         event.bid.price, event.bid.channel, event.bid.url, event.bid.extra);
  }
  return {};
}

TEST(Nexmark, ProportionsAreExactInEachFifty) {
  const Generator stream = generator({});
  NexmarkEvent event;
  for (int64_t cycle = 0; cycle < 40; ++cycle) {
    std::map<Kind, int> kinds;
    for (int64_t i = 0; i < Generator::kCycle; ++i) {
      stream.event_at(cycle * Generator::kCycle + i, event);
      ++kinds[event.kind];
    }
    EXPECT_EQ(kinds, (std::map<Kind, int>{{Kind::person, 1}, {Kind::auction, 3}, {Kind::bid, 46}}));
  }
}

TEST(Nexmark, IdsCountUpAndReferToWhatIsThereOrComesNext) {
  const Generator stream = generator({.seed = 7});
  NexmarkEvent event;
  int64_t people = 0;
  int64_t auctions = 0;
  for (int64_t i = 0; i < 200'000; ++i) {
    stream.event_at(i, event);
    auto is_near = [](int64_t id, int64_t count, int64_t kept) {
      const int64_t number = id - Generator::kFirstId;
      return number >= std::max<int64_t>(count - 1 - kept, 0) && number < count + Generator::kLead;
    };
    switch (event.kind) {
      case Kind::person:
        ASSERT_EQ(event.person.id, Generator::kFirstId + people++);
        break;
      case Kind::auction:
        ASSERT_EQ(event.auction.id, Generator::kFirstId + auctions++);
        ASSERT_TRUE(is_near(event.auction.seller, people, Generator::kActivePeople)) << i;
        ASSERT_GE(event.auction.category, Generator::kFirstCategory);
        ASSERT_LT(event.auction.category, Generator::kFirstCategory + Generator::kCategories);
        ASSERT_GT(event.auction.expires_ms, event.time_ms);
        ASSERT_GE(event.auction.reserve, event.auction.initial_bid + 100);
        break;
      case Kind::bid:
        ASSERT_TRUE(is_near(event.bid.auction, auctions, Generator::kInFlightAuctions)) << i;
        ASSERT_TRUE(is_near(event.bid.bidder, people, Generator::kActivePeople)) << i;
        ASSERT_GE(event.bid.price, 100);
        ASSERT_LE(event.bid.price, 100'000'000);
        break;
    }
    ASSERT_EQ(Generator::last_person(i) + 1, people);
    ASSERT_EQ(Generator::last_auction(i) + 1, auctions);
  }
}

TEST(Nexmark, DistributionsAreThePublishedOnes) {
  const Generator stream = generator({});
  NexmarkEvent event;
  constexpr int64_t kEvents = 500'000;
  double bids = 0, hot_auctions = 0, hot_bidders = 0, hot_channels = 0, cheap = 0, dear = 0;
  double auctions = 0, hot_sellers = 0, open_ms = 0, sizes = 0, cold = 0, with_id = 0;
  for (int64_t i = 0; i < kEvents; ++i) {
    stream.event_at(i, event);
    const int64_t person = Generator::kFirstId + Generator::last_person(i) / 100 * 100;
    if (event.kind == Kind::auction) {
      ++auctions;
      hot_sellers += event.auction.seller == person;
      open_ms += static_cast<double>(event.auction.expires_ms - event.time_ms);
    } else if (event.kind == Kind::bid) {
      ++bids;
      hot_auctions +=
          event.bid.auction == Generator::kFirstId + Generator::last_auction(i) / 100 * 100;
      hot_bidders += event.bid.bidder == person + 1;
      const bool is_hot = !event.bid.channel.starts_with("channel-");
      hot_channels += is_hot;
      cold += !is_hot;
      with_id += event.bid.url.find("&channel_id=") != std::string_view::npos;
      cheap += event.bid.price < 10'000;
      dear += event.bid.price >= 1'000'000;
      sizes += static_cast<double>(32 + event.bid.extra.size());
    }
  }
  // A hot one is also met by chance, once in a hundred or a thousand.
  EXPECT_NEAR(hot_auctions / bids, 0.5, 0.01);
  EXPECT_NEAR(hot_bidders / bids, 0.75, 0.005);
  EXPECT_NEAR(hot_sellers / auctions, 0.75, 0.01);
  EXPECT_NEAR(hot_channels / bids, 0.5, 0.005);
  EXPECT_NEAR(with_id / cold, 0.9, 0.01);
  // The price's logarithm is uniform from 2 to 8.
  EXPECT_NEAR(cheap / bids, 1.0 / 3, 0.005);
  EXPECT_NEAR(dear / bids, 1.0 / 3, 0.005);
  EXPECT_NEAR(sizes / bids, 100, 1);
  EXPECT_NEAR(open_ms / auctions, 17.2, 0.5);  // 1,666 events of 10 us, and 1 to 2 ms of rounding.
}

TEST(Nexmark, AnEventDependsOnItsNumberAndTheSeedAlone) {
  const Generator stream = generator({.seed = 42, .disorder = 100});
  const Generator again = generator({.seed = 42, .disorder = 100});
  const Generator other = generator({.seed = 43, .disorder = 100});
  NexmarkEvent event;
  std::vector<std::string> forwards;
  for (int64_t i = 5'000; i < 6'000; ++i) {
    stream.event_at(i, event);
    forwards.push_back(text(event));
  }
  int differ = 0;
  for (int64_t i = 5'999; i >= 5'000; --i) {
    again.event_at(i, event);
    EXPECT_EQ(text(event), forwards[static_cast<size_t>(i - 5'000)]);
    other.event_at(i, event);
    differ += text(event) != forwards[static_cast<size_t>(i - 5'000)];
  }
  EXPECT_EQ(differ, 1'000);
}

// Dumps of older versions and of other machines are the same stream.
TEST(Nexmark, TheStreamOfASeedStaysWhatItIs) {
  const Generator stream = generator({});
  NexmarkEvent event;
  std::string all;
  for (int64_t i = 0; i < 10'000; ++i) {
    stream.event_at(i * 997, event);
    all += text(event) + "\n";
  }
  EXPECT_EQ(crc32c(as_bytes(all)), 1343072483U);
}

TEST(Nexmark, TimesFollowTheRate) {
  EXPECT_EQ(generator({}).time_of(0), 1'436'918'400'000);
  EXPECT_EQ(generator({}).time_of(99) - generator({}).time_of(0), 0);
  EXPECT_EQ(generator({}).time_of(100) - generator({}).time_of(0), 1);
  EXPECT_EQ(generator({.rate = 3, .start_ms = 0}).time_of(7), 2'333);
  EXPECT_EQ(generator({.rate = 1, .start_ms = 5}).time_of(1'000'000), 1'000'000'005);
}

TEST(Nexmark, DisorderIsAPermutationWithinEachGroup) {
  for (int64_t group : {2, 10, 953, 1'000, 947 * 953}) {
    const Generator stream = generator({.disorder = group});
    std::set<int64_t> numbers;
    bool moved = false;
    for (int64_t place = group; place < 2 * group; ++place) {
      const int64_t number = stream.number_at(place);
      EXPECT_LT(std::abs(number - place), group);
      moved |= number != place;
      numbers.insert(number);
    }
    EXPECT_EQ(*numbers.begin(), group) << group;
    EXPECT_EQ(*numbers.rbegin(), 2 * group - 1) << group;
    EXPECT_EQ(std::ssize(numbers), group);
    EXPECT_EQ(moved, group > 2);
  }
  const Generator ordered = generator({.disorder = 1});
  for (int64_t place = 0; place < 100; ++place) EXPECT_EQ(ordered.number_at(place), place);
}

TEST(Nexmark, OptionsOutOfRangeAreNamed) {
  auto refusal = [](const NexmarkOptions& options) {
    auto made = Generator::create(options);
    EXPECT_FALSE(made.has_value());
    return made ? std::string() : made.error().to_string();
  };
  EXPECT_THAT(refusal({.rate = 0}), HasSubstr("rate"));
  EXPECT_THAT(refusal({.rate = Generator::kRateMax + 1}), HasSubstr("rate"));
  EXPECT_THAT(refusal({.disorder = -1}), HasSubstr("disorder"));
  EXPECT_THAT(refusal({.disorder = Generator::kDisorderMax + 1}), HasSubstr("disorder"));
  EXPECT_THAT(refusal({.start_ms = -1}), HasSubstr("start"));
}

}  // namespace
}  // namespace ziwa::data
