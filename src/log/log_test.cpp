#include "log/log.h"

#include "log/testing/log_rig.h"

#include <gtest/gtest.h>

namespace ziwa::log {
namespace {

using testing::LogRig;

const PartitionId kP0{ObjectId(1), 0};
const PartitionId kP1{ObjectId(1), 1};

TEST(Log, AppendsAndFetchesBytesUnchangedButForTheirPlace) {
  LogRig rig;
  rig.open();
  rig.create(ObjectId(1), {.partitions = 2});
  Bytes first = rig.batch({"a", "b", "c"});
  Bytes second = rig.batch({"d"});
  EXPECT_EQ(rig.append(kP0, first).base_offset, Offset(0));
  EXPECT_EQ(rig.append(kP0, second).base_offset, Offset(3));
  EXPECT_EQ(rig.append(kP1, second).base_offset, Offset(0));
  EXPECT_EQ(rig.values(kP0), (std::vector<std::string>{"a", "b", "c", "d"}));
  EXPECT_EQ(rig.values(kP0, Offset(3)), (std::vector<std::string>{"d"}));
  auto info = rig.log().info(kP0);
  ASSERT_TRUE(info);
  EXPECT_EQ(info->high_watermark, Offset(4));
  EXPECT_EQ(info->bytes, first.size() + second.size());
}

TEST(Log, EverythingIsThereAfterAPowerCutAndAfterACleanClose) {
  LogRig rig;
  rig.open();
  rig.create(ObjectId(1), {});
  for (int i = 0; i < 20; ++i) rig.append(kP0, rig.batch({std::to_string(i)}));
  auto before = rig.values(kP0);
  rig.crash();
  rig.open();
  EXPECT_EQ(rig.values(kP0), before);
  rig.append(kP0, rig.batch({"after"}));
  rig.close();
  rig.open();
  EXPECT_EQ(rig.values(kP0).size(), 21u);
}

}  // namespace
}  // namespace ziwa::log
