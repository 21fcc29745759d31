#pragma once

#include "log/record_batch.h"
#include "sql/testing/sql_rig.h"

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace ziwa::sql::testing {

/// A test with one session of a database of its own.
class SqlTest : public ::testing::Test {
 protected:
  explicit SqlTest(SqlRig::Streams streams) : rig_(streams), session_(open()) {}

  std::unique_ptr<Session> open() {
    auto session = rig_.database().session();
    EXPECT_TRUE(session) << session.error().to_string();
    return session ? std::move(*session) : nullptr;
  }
  /// The rows of a statement that works.
  TextRows rows(std::string_view sql) {
    auto result = all_rows(*session_, sql);
    EXPECT_TRUE(result) << sql << ": " << (result ? "" : result.error().to_string());
    return result.value_or(TextRows{});
  }
  /// The error of a statement that does not.
  Error error(std::string_view sql) {
    auto result = all_rows(*session_, sql);
    if (!result) return result.error();
    ADD_FAILURE() << "worked: " << sql;
    return Error(Code::internal, "worked");
  }
  /// Puts records with these values into partition 0 of a topic, and waits until they can be read.
  void append(std::string_view topic, const std::vector<std::string>& values,
              std::string_view schema = "public") {
    std::vector<log::NewRecord> records;
    for (const std::string& value : values)
      records.push_back({.timestamp = TimestampMs(0), .key = {}, .value = as_bytes(value)});
    append_batch(topic, log::encode_batch(records), schema);
  }
  void append_batch(std::string_view topic, const Bytes& batch,
                    std::string_view schema = "public") {
    auto id = rig_.catalog().snapshot()->find(schema, topic)->id;
    std::promise<bool> done;
    rig_.log().append(PartitionId{id, 0}, batch,
                      [&](Result<log::Appended> appended, log::AppendRefusal) {
                        done.set_value(appended.has_value());
                      });
    ASSERT_TRUE(done.get_future().get());
    rows(fmt::format("CALL ziwa.wait({})", rig_.journal().durable()));
  }

  SqlRig rig_;
  std::unique_ptr<Session> session_;
};

}  // namespace ziwa::sql::testing
