#include "sql/calls.h"

#include "base/settings.h"
#include "sql/ddl.h"
#include "sql/project.h"
#include "sql/statement_parser.h"

#include <charconv>

namespace ziwa::sql {
namespace {

using duckdb::LogicalType;
using duckdb::Value;

Result<int64_t> integer(const Call::Argument& argument) {
  int64_t number = 0;
  const std::string& text = argument.value;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (argument.is_text || error != std::errc() || end != text.data() + text.size()) {
    return Error(Code::invalid_argument, "a whole number is expected, not {}", text)
        .because(Cause::invalid_value)
        .at(argument.position);
  }
  return number;
}

/// 'schema.name' or 'name'.
Result<QualifiedName> object_name(const Call::Argument& argument, std::string_view what) {
  if (!argument.is_text)
    return Error(Code::invalid_argument, "the name of a {} is expected", what)
        .because(Cause::invalid_value)
        .at(argument.position);
  auto tokens = TRY(tokenize(argument.value));
  TokenCursor cursor(argument.value, tokens);
  auto name = cursor.qualified_name(what);
  if (!name) return std::move(name.error()).at(argument.position);
  name->position = argument.position;
  return name;
}

CallRows epoch_row(const CallContext& context) {
  uint64_t epoch = context.bind.core->deps.engine.published()->epoch.value;
  return {{Value::BIGINT(static_cast<int64_t>(epoch))}};
}

int64_t timeout_ms(const CallContext& context) { return context.bind.core->read_timeout_ms(); }

Result<CallRows> wait(CallContext& context, const Call& call) {
  int64_t epoch = TRY(integer(call.arguments[0]));
  if (epoch < 0)
    return Error(Code::invalid_argument, "an epoch is not negative")
        .because(Cause::invalid_value)
        .at(call.arguments[0].position);
  int64_t timeout =
      call.arguments.size() > 1 ? TRY(integer(call.arguments[1])) : timeout_ms(context);
  TRY(context.bind.core->wait_for(Epoch(static_cast<uint64_t>(epoch)), context.cancelled, timeout));
  return epoch_row(context);
}

Result<CallRows> checkpoint(CallContext& context, const Call&) {
  TRY(context.bind.core->deps.engine.checkpoint());
  return epoch_row(context);
}

Result<CallRows> flush(CallContext& context, const Call& call) {
  Core& core = *context.bind.core;
  if (!call.arguments.empty()) {
    QualifiedName name = TRY(object_name(call.arguments[0], "sink"));
    catalog::ObjectPtr sink = TRY(find_object(*context.bind.catalog, name, context.bind.path));
    if (sink->kind() != catalog::Kind::sink) {
      return Error(Code::not_found, "\"{}\" is a {}, not a sink", sink->name,
                   catalog::kind_name(sink->kind()))
          .at(call.arguments[0].position);
    }
  }
  TRY(core.deps.engine.flush_sinks(core.deps.journal.durable(), timeout_ms(context)));
  // The table's new version may be on its way into the journal: what is entered now comes after it.
  context.written = TRY(core.deps.journal.submit_and_wait(journal::ClockTick{}, {}));
  TRY(core.wait_for(context.written, context.cancelled, timeout_ms(context)));
  return epoch_row(context);
}

Result<CallRows> delete_records(CallContext& context, const Call& call) {
  DeleteRecords records{
      .topic = TRY(object_name(call.arguments[0], "topic")), .before = -1, .partition = {}};
  if (call.arguments.size() > 1) {
    int64_t partition = TRY(integer(call.arguments[1]));
    if (partition < 0 || partition > std::numeric_limits<int32_t>::max()) {
      return Error(Code::invalid_argument, "{} is not a partition", partition)
          .because(Cause::invalid_value)
          .at(call.arguments[1].position);
    }
    records.partition = static_cast<int32_t>(partition);
  }
  if (call.arguments.size() > 2) {
    records.before = TRY(integer(call.arguments[2]));
    if (records.before < -1) {
      return Error(Code::invalid_argument, "{} is not an offset", records.before)
          .because(Cause::invalid_value)
          .with_hint("-1 means the end")
          .at(call.arguments[2].position);
    }
  }
  CallRows rows;
  for (const DeletedRecords& deleted : TRY(run_delete_records(context.bind, records))) {
    rows.push_back({Value::INTEGER(deleted.partition), Value::BIGINT(deleted.start.value)});
  }
  context.written = context.bind.core->deps.journal.durable();
  return rows;
}

Result<std::string> directory(const Call::Argument& argument) {
  if (!argument.is_text || argument.value.empty()) {
    return Error(Code::invalid_argument, "the folder of a project is expected")
        .because(Cause::invalid_value)
        .at(argument.position);
  }
  return argument.value;
}

CallRows change_rows(const std::vector<ProjectChange>& changes) {
  CallRows rows;
  for (const ProjectChange& change : changes) {
    if (change.action == ProjectAction::keep) continue;
    rows.push_back({Value(std::string(action_name(change.action))),
                    Value(std::string(catalog::kind_name(change.kind))),
                    Value(change.schema + "." + change.name), Value(change.where),
                    Value(change.why), Value::BOOLEAN(change.loses_data)});
  }
  return rows;
}

Result<CallRows> diff(CallContext& context, const Call& call) {
  return change_rows(TRY(diff_project(context.bind.core, TRY(directory(call.arguments[0])))));
}

Result<CallRows> apply(CallContext& context, const Call& call) {
  bool allow_drop = call.arguments.size() > 1;
  if (allow_drop && call.arguments[1].value != "allow_drop") {
    return Error(Code::invalid_argument, "the second argument can only be 'allow_drop'")
        .because(Cause::invalid_value)
        .at(call.arguments[1].position);
  }
  auto changes =
      TRY(apply_project(context.bind.core, TRY(directory(call.arguments[0])), allow_drop));
  context.written = context.bind.core->deps.journal.durable();
  return change_rows(changes);
}

const std::vector<CallFunction>& functions() {
  static const std::vector<duck::NamedType> kEpoch = {{"epoch", LogicalType::BIGINT}};
  static const std::vector<duck::NamedType> kChanges = {
      {"action", LogicalType::VARCHAR}, {"kind", LogicalType::VARCHAR},
      {"name", LogicalType::VARCHAR},   {"where", LogicalType::VARCHAR},
      {"why", LogicalType::VARCHAR},    {"loses_data", LogicalType::BOOLEAN}};
  static const std::vector<CallFunction> kFunctions = {
      {"wait", "ziwa.wait(epoch [, timeout_ms])", 1, 2, false, kEpoch, wait},
      {"checkpoint", "ziwa.checkpoint()", 0, 0, false, kEpoch, checkpoint},
      {"flush", "ziwa.flush(['sink'])", 0, 1, false, kEpoch, flush},
      {"delete_records",
       "ziwa.delete_records('topic' [, partition [, offset]])",
       1,
       3,
       true,
       {{"partition", LogicalType::INTEGER}, {"log_start", LogicalType::BIGINT}},
       delete_records},
      {"diff", "ziwa.diff('project folder')", 1, 1, false, kChanges, diff},
      {"apply", "ziwa.apply('project folder' [, 'allow_drop'])", 1, 2, true, kChanges, apply},
  };
  return kFunctions;
}

}  // namespace

Result<const CallFunction*> find_call(const Call& call) {
  std::vector<std::string> names;
  for (const CallFunction& function : functions()) {
    names.emplace_back(function.name);
    if (function.name != call.function) continue;
    if (call.arguments.size() < function.arguments_min ||
        call.arguments.size() > function.arguments_max) {
      return Error(Code::invalid_argument, "wrong number of arguments")
          .because(Cause::undefined_function)
          .with_hint("CALL " + std::string(function.signature))
          .at(call.position);
    }
    return &function;
  }
  std::string nearest = nearest_name(call.function, names);
  return Error(Code::invalid_argument, "there is no function ziwa.{}", call.function)
      .because(Cause::undefined_function)
      .with_hint(nearest.empty()
                     ? "there are wait, checkpoint, flush, delete_records, diff and apply"
                     : "did you mean ziwa." + nearest + "?")
      .at(call.position);
}

}  // namespace ziwa::sql
