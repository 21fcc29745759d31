#include "protocol/kafka/errors.h"

namespace ziwa::kafka {

ErrorCode error_code_of(const Error& error) {
  switch (error.code()) {
#define ZIWA_CODE(name, http, sqlstate, kafka) \
  case Code::name:                             \
    return ErrorCode::kafka;
#define ZIWA_CAUSE(name, code, sqlstate)
#include "base/error_table.inc"
#undef ZIWA_CODE
#undef ZIWA_CAUSE
  }
  return ErrorCode::unknown_server_error;
}

ErrorCode error_code_of(groups::GroupError error) {
  using groups::GroupError;
  switch (error) {
    case GroupError::none:
      return ErrorCode::none;
    case GroupError::invalid_group_id:
      return ErrorCode::invalid_group_id;
    case GroupError::invalid_session_timeout:
      return ErrorCode::invalid_session_timeout;
    case GroupError::inconsistent_protocol:
      return ErrorCode::inconsistent_group_protocol;
    case GroupError::member_id_required:
      return ErrorCode::member_id_required;
    case GroupError::unknown_member:
      return ErrorCode::unknown_member_id;
    case GroupError::fenced_instance:
      return ErrorCode::fenced_instance_id;
    case GroupError::illegal_generation:
      return ErrorCode::illegal_generation;
    case GroupError::rebalance_in_progress:
      return ErrorCode::rebalance_in_progress;
    case GroupError::group_full:
    case GroupError::too_many_groups:
      return ErrorCode::group_max_size_reached;
    case GroupError::group_not_found:
      return ErrorCode::group_id_not_found;
    case GroupError::group_not_empty:
      return ErrorCode::non_empty_group;
    case GroupError::storage_failed:
      return ErrorCode::coordinator_not_available;
  }
  return ErrorCode::unknown_server_error;
}

ErrorCode error_code_of(const Error& error, log::AppendRefusal refusal) {
  switch (refusal) {
    case log::AppendRefusal::out_of_order_sequence:
      return ErrorCode::out_of_order_sequence_number;
    case log::AppendRefusal::invalid_producer_epoch:
      return ErrorCode::invalid_producer_epoch;
    case log::AppendRefusal::unknown_producer_id:
      return ErrorCode::unknown_producer_id;
    case log::AppendRefusal::none:
      break;
  }
  if (error.code() == Code::invalid_argument) return ErrorCode::invalid_record;
  if (error.code() == Code::corrupt) return ErrorCode::corrupt_message;
  return error_code_of(error);
}

std::string error_text(const Error& error) {
  if (error.hint().empty()) return error.message();
  return error.message() + " (" + error.hint() + ")";
}

}  // namespace ziwa::kafka
