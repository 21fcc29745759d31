#pragma once

#include "base/result.h"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ziwa::data {

/// What a Nexmark stream depends on, and nothing else.
struct NexmarkOptions {
  uint64_t seed = 1;
  int64_t rate = 100'000;  ///< Events per second of event time.
  /// Events of a group whose order is shuffled: no event comes this many places too early or late.
  /// 0 and 1: in order.
  int64_t disorder = 0;
  int64_t start_ms = 1'436'918'400'000;  ///< Time of the first event: 2015-07-15 00:00:00.
};

/// Someone who sells or bids.
struct NexmarkPerson {
  int64_t id = 0;
  std::string name;
  std::string email_address;
  std::string credit_card;
  std::string_view city;
  std::string_view state;
  std::string_view extra;
};

/// Something for sale.
struct NexmarkAuction {
  int64_t id = 0;
  std::string item_name;
  std::string description;
  int64_t initial_bid = 0;
  int64_t reserve = 0;
  int64_t expires_ms = 0;
  int64_t seller = 0;
  int64_t category = 0;
  std::string_view extra;
};

/// An offer for an auction.
struct NexmarkBid {
  int64_t auction = 0;
  int64_t bidder = 0;
  int64_t price = 0;
  std::string_view channel;
  std::string_view url;
  std::string_view extra;
};

/// One event; of the three parts only the one of its kind has a meaning. Views are of the generator
/// that filled it.
struct NexmarkEvent {
  /// The numbers are those of the column event_type.
  enum class Kind : unsigned char { person = 0, auction = 1, bid = 2 };
  Kind kind = Kind::person;
  int64_t time_ms = 0;
  NexmarkPerson person;
  NexmarkAuction auction;
  NexmarkBid bid;
};

/// The stream of the Nexmark benchmark: of 50 events one is a person, three are auctions and 46
/// bids, by the published proportions and distributions. Each event depends on the options and its
/// number alone, so any range of the stream can be made by itself. Ids begin at 1000. As in the
/// published generator an auction or bid may name one of the 10 people or auctions to come. Unlike
/// there bidders are the ids of people (there they are 1000 too high). Immutable; any thread.
/// Source: github.com/nexmark/nexmark, nexmark-flink/.../generator (what it makes, not its code).
class NexmarkGenerator {
 public:
  static constexpr int64_t kFirstId = 1000;
  static constexpr int64_t kFirstCategory = 10;
  static constexpr int64_t kCategories = 5;
  static constexpr int64_t kCycle = 50;  ///< Events in which the proportions are exact.
  static constexpr int64_t kPeopleOfCycle = 1;
  static constexpr int64_t kAuctionsOfCycle = 3;
  static constexpr int64_t kLead = 10;  ///< Ids to come that an event may name.
  static constexpr int64_t kInFlightAuctions = 100;
  static constexpr int64_t kActivePeople = 1000;
  static constexpr int64_t kChannels = 10'000;
  static constexpr int64_t kRateMax = 1'000'000'000;
  static constexpr int64_t kDisorderMax = 1'000'000;
  static constexpr int64_t kEventsMax = int64_t{1} << 50;  ///< Numbers are below.

  /// Makes the texts that events share, in some milliseconds. Errors: invalid_argument naming the
  /// option: rate not in 1..kRateMax, disorder not in 0..kDisorderMax, a start before 1970 or after
  /// 9999.
  static Result<NexmarkGenerator> create(const NexmarkOptions& options);

  /// Fills `out` with the event at place `place` of the stream, 0..kEventsMax-1. Strings in `out`
  /// keep their memory.
  void event_at(int64_t place, NexmarkEvent& out) const;
  /// The number of the event at `place`: another one of its group if there is disorder.
  int64_t number_at(int64_t place) const;
  /// Times do not fall as numbers rise.
  int64_t time_of(int64_t number) const;

  /// Of the last person and auction up to and including event `number`, counted from 0; -1: none.
  static int64_t last_person(int64_t number);
  static int64_t last_auction(int64_t number);

 private:
  class Random;
  explicit NexmarkGenerator(const NexmarkOptions& options);

  void make_person(int64_t number, Random& random, NexmarkPerson& out) const;
  void make_auction(int64_t number, Random& random, NexmarkAuction& out) const;
  void make_bid(int64_t number, Random& random, NexmarkBid& out) const;
  static int64_t some_person(int64_t number, Random& random);
  static int64_t some_auction(int64_t number, Random& random);
  int64_t price(Random& random) const;
  std::string_view extra(Random& random, int64_t size, int64_t wanted) const;

  /// Names and pages of channels: the four hot ones first.
  struct Channel {
    std::string name;
    std::string url;
  };

  NexmarkOptions options_;
  int64_t stride_ = 1;  ///< Places of a group are taken in steps of this.
  std::vector<Channel> channels_;
  std::string letters_;              ///< What `extra` is cut from.
  std::array<double, 1024> powers_;  ///< 10^(6 i / 1024), the same bits on every processor.
};

}  // namespace ziwa::data
