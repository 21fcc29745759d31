#include "stream/watermark.h"

#include <random>

namespace ziwa::stream {
namespace {

TEST(Watermark, IsTheLeastOfThePartitionsLessTheDelay) {
  WatermarkTracker tracker(2, 10);
  tracker.begin_entry(1);
  tracker.observe(0, 100);
  tracker.begin_entry(2);
  EXPECT_EQ(tracker.merged(), kNoWatermark) << "partition 1 never had a record";
  tracker.observe(1, 50);
  tracker.begin_entry(3);
  EXPECT_EQ(tracker.merged(), 40);
  tracker.observe(1, 300);
  EXPECT_EQ(tracker.merged(), 40) << "an entry does not move its own watermark";
  tracker.begin_entry(4);
  EXPECT_EQ(tracker.merged(), 90);
}

TEST(Watermark, IdlePartitionsLeaveAndComeBack) {
  WatermarkTracker tracker(3, 0);
  tracker.begin_entry(1);
  tracker.active(0);
  tracker.observe(0, 100);
  tracker.begin_entry(2);
  tracker.idle(1);
  tracker.begin_entry(3);
  EXPECT_EQ(tracker.merged(), kNoWatermark);
  tracker.idle(2);
  tracker.begin_entry(4);
  EXPECT_EQ(tracker.merged(), 100);
  tracker.active(1);
  tracker.observe(1, 20);
  tracker.begin_entry(5);
  EXPECT_EQ(tracker.merged(), 100) << "it never goes back";
  tracker.active(0);
  tracker.observe(0, 500);
  tracker.begin_entry(6);
  EXPECT_EQ(tracker.merged(), 100) << "the one that came back holds it";
  tracker.idle(0);
  tracker.begin_entry(7);
  tracker.idle(1);
  tracker.begin_entry(8);
  EXPECT_EQ(tracker.merged(), 100) << "all idle: it stands still";
}

TEST(Watermark, NeverGoesBackAndSurvivesSaving) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 50; ++round) {
    WatermarkTracker tracker(1 + random() % 4, static_cast<int64_t>(random() % 20));
    int64_t last = kNoWatermark;
    for (uint64_t entry = 1; entry < 200; ++entry) {
      tracker.begin_entry(entry);
      EXPECT_GE(tracker.merged(), last);
      last = tracker.merged();
      size_t partition = random() % tracker.partitions();
      if (random() % 5 == 0) {
        tracker.idle(partition);
      } else {
        tracker.active(partition);
        for (size_t i = random() % 3; i > 0; --i) {
          tracker.observe(partition, static_cast<int64_t>(entry + random() % 50));
        }
      }
      if (random() % 10 == 0) {
        tracker.end_entry();
        ByteWriter out;
        tracker.save(out);
        WatermarkTracker copy(tracker.partitions(), 0);
        ByteReader in(out.view());
        ASSERT_TRUE(copy.load(in).has_value());
        EXPECT_EQ(copy.merged(), tracker.merged());
        ByteWriter again;
        copy.save(again);
        EXPECT_EQ(as_text(again.view()), as_text(out.view()));
      }
    }
  }
}

}  // namespace
}  // namespace ziwa::stream
