#include "protocol/postgres/client_settings.h"

#include <gtest/gtest.h>

namespace ziwa::protocol::postgres {
namespace {

DoorAnswer must(ClientSettings& settings, std::string_view statement) {
  auto answer = settings.answer(statement);
  EXPECT_TRUE(answer.has_value()) << statement;
  EXPECT_TRUE(answer.has_value() && answer->has_value()) << statement << " is not the door's";
  return answer && *answer ? **answer : DoorAnswer{};
}

TEST(ClientSettings, what_drivers_send_at_the_start) {
  ClientSettings settings("15.0 (Ziwa test)");
  EXPECT_EQ(must(settings, "SET extra_float_digits = 3").command, "SET");
  EXPECT_EQ(must(settings, "set application_name to 'my app'").reported,
            (std::vector<std::pair<std::string, std::string>>{{"application_name", "my app"}}));
  EXPECT_EQ(must(settings, "SET SESSION client_min_messages TO warning").command, "SET");
  EXPECT_EQ(must(settings, "SET DateStyle='ISO'").command, "SET");
  EXPECT_EQ(must(settings, "SET TIME ZONE 'UTC'").command, "SET");
  EXPECT_EQ(must(settings, "SET NAMES 'utf8'").command, "SET");
  EXPECT_EQ(
      must(settings, "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE")
          .command,
      "SET");
  EXPECT_EQ(must(settings, "/* c */ SHOW application_name;").value, "my app");
  EXPECT_EQ(must(settings, "SHOW TRANSACTION ISOLATION LEVEL").value, "repeatable read");
  EXPECT_EQ(must(settings, "show server_version").value, "15.0 (Ziwa test)");
  EXPECT_EQ(must(settings, "RESET application_name").command, "RESET");
  EXPECT_EQ(must(settings, "SHOW application_name").value, "");
}

TEST(ClientSettings, what_would_change_answers_is_refused) {
  ClientSettings settings("15.0");
  EXPECT_EQ(settings.answer("SET client_encoding = 'LATIN1'").error().code(), Code::unsupported);
  EXPECT_EQ(settings.answer("SET TimeZone = 'Africa/Nairobi'").error().code(), Code::unsupported);
  EXPECT_EQ(settings.answer("SET datestyle = 'German'").error().code(), Code::unsupported);
  EXPECT_EQ(settings.answer("SET server_version = '9'").error().code(), Code::permission);
  for (const char* read_only :
       {"SET default_transaction_read_only = on", "SET transaction_read_only TO 'true'",
        "SET default_transaction_read_only = t", "SET default_transaction_read_only TO yes",
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"})
    EXPECT_EQ(settings.answer(read_only).error().code(), Code::unsupported) << read_only;
  EXPECT_EQ(must(settings, "SET TRANSACTION READ WRITE").command, "SET");
  EXPECT_EQ(must(settings, "SET default_transaction_read_only = off").command, "SET");
  std::string huge = "SET application_name = '" + std::string(2000, 'x') + "'";
  EXPECT_EQ(settings.answer(huge).error().code(), Code::exhausted);
}

TEST(ClientSettings, the_rest_is_the_database_s) {
  ClientSettings settings("15.0");
  for (auto* statement : {"SELECT 1", "SHOW TOPICS", "SET threads = 1", "", "SHOW", "SET",
                          "CREATE TABLE set (a INT)", "SET x"}) {
    auto answer = settings.answer(statement);
    ASSERT_TRUE(answer.has_value()) << statement;
    EXPECT_FALSE(answer->has_value()) << statement;
  }
}

TEST(ClientSettings, transactions_lose_their_modes) {
  EXPECT_EQ(ClientSettings::simplify("BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE"), "BEGIN");
  EXPECT_EQ(ClientSettings::simplify("START TRANSACTION READ ONLY"), "BEGIN TRANSACTION READ ONLY");
  EXPECT_EQ(ClientSettings::simplify("end"), "COMMIT");
  EXPECT_EQ(ClientSettings::simplify("ABORT WORK"), "ROLLBACK");
  EXPECT_EQ(ClientSettings::simplify("ROLLBACK TO SAVEPOINT s"), "ROLLBACK TO SAVEPOINT s");
  EXPECT_EQ(ClientSettings::simplify("SELECT 'begin'"), "SELECT 'begin'");
}

}  // namespace
}  // namespace ziwa::protocol::postgres
