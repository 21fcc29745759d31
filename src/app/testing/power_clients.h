#pragma once

#include "app/testing/power_world.h"

#include <memory>
#include <vector>

namespace ziwa::app::testing {

/// Makes topics, tables, sinks and views, each statement once; `check` sees that what was made is
/// there, and that no file is without an owner.
std::unique_ptr<PowerClient> make_schema_client();
/// Produces JSON events, late and broken ones among them, to two partitions, without sequence
/// numbers; checks the topic, its views of every kind, late rows, dead letters and the sinks, of
/// the topic and of a view.
std::unique_ptr<PowerClient> make_event_client();
/// Produces with sequence numbers and, after each restart, repeats what was not acknowledged.
std::unique_ptr<PowerClient> make_idempotent_client();
/// INSERTs into tables and topics, many rows at once and in transactions: all or nothing.
std::unique_ptr<PowerClient> make_insert_client();
/// Fills a topic with a small retention and deletes its records; its view keeps the rows.
std::unique_ptr<PowerClient> make_retention_client();
/// Runs transactions of the log, two at a time, that commit or abort; checks that their records are
/// read together or not at all, and none of a transaction that is open.
std::unique_ptr<PowerClient> make_transaction_client();
/// Commits offsets of a consumer group.
std::unique_ptr<PowerClient> make_group_client();
/// Creates and drops topics, tables and views.
std::unique_ptr<PowerClient> make_ddl_client();
/// Applies one version of a project after the other, each with other rows for a table.
std::unique_ptr<PowerClient> make_project_client();

}  // namespace ziwa::app::testing
