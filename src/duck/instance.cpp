#include "duck/instance.h"

#include "duck/file_system.h"
#include "duck/folder_file_system.h"
#include "duck/json_files.h"
#include "duck/json_guard.h"
#include "duck/refused_functions.h"
#include "duck/system_catalog.h"

#include <duckdb/common/virtual_file_system.hpp>
#include <duckdb/main/client_data.hpp>
#include <duckdb/main/config.hpp>
#include <duckdb/main/valid_checker.hpp>

namespace ziwa::duck {

struct Instance::State {
  FileSystem* files = nullptr;
  std::string own_directory;
  std::unique_ptr<duckdb::DuckDB> database;
};

Instance::Instance() : state_(std::make_unique<State>()) {}
Instance::~Instance() = default;

namespace {

void run(duckdb::Connection& connection, const std::string& sql) {
  auto result = connection.Query(sql);
  if (result->HasError()) result->ThrowError();
}

/// As DuckDB's error(), whose text would be taken for words of DuckDB's own.
void raise(duckdb::DataChunk& arguments, duckdb::ExpressionState&, duckdb::Vector& result) {
  for (duckdb::idx_t row = 0; row < arguments.size(); ++row) {
    duckdb::Value text = arguments.GetValue(0, row);
    if (!text.IsNull())
      throw_error(Error(Code::invalid_argument, "{}", duckdb::StringValue::Get(text)));
  }
  result.Reference(duckdb::Value(duckdb::LogicalType::SQLNULL));
}

duckdb::ScalarFunction error_function() {
  duckdb::ScalarFunction function("error", {duckdb::LogicalType::VARCHAR},
                                  duckdb::LogicalType::SQLNULL, raise);
  function.SetVolatile();
  function.SetFallible();
  return function;
}

}  // namespace

Result<std::unique_ptr<Instance>> Instance::open(FileSystem& fs, Options options) {
  auto opened = TRY(guarded([&] {
    duckdb::DBConfig config;
    config.file_system = duckdb::make_uniq<duckdb::VirtualFileSystem>(make_file_system(fs));
    config.options.maximum_memory = options.memory_bytes;
    config.options.maximum_threads = static_cast<duckdb::idx_t>(options.threads);
    config.options.use_temporary_directory = !options.temp_directory.empty();
    config.options.temporary_directory = options.temp_directory;
    config.options.load_extensions = true;  // those inside the library
    config.SetOptionByName("autoinstall_known_extensions", duckdb::Value::BOOLEAN(false));
    config.SetOptionByName("autoload_known_extensions", duckdb::Value::BOOLEAN(false));
    config.SetOptionByName("allow_community_extensions", duckdb::Value::BOOLEAN(false));
    config.SetOptionByName("allow_persistent_secrets", duckdb::Value::BOOLEAN(false));
    // It makes row_number() <= k into arg_min(), which takes NaN for small.
    config.options.disabled_optimizers.insert(duckdb::OptimizerType::TOP_N_WINDOW_ELIMINATION);
    // Files are in the operating system's cache already; a second copy only takes memory.
    config.SetOptionByName("enable_external_file_cache", duckdb::Value::BOOLEAN(false));

    std::unique_ptr<Instance> instance(new Instance());
    instance->state_->files = &fs;
    instance->state_->own_directory = options.own_directory;
    instance->state_->database = std::make_unique<duckdb::DuckDB>(nullptr, &config);
    duckdb::Connection connection(*instance->state_->database);
    guard_json_functions(*instance->state_->database->instance);
    guard_json_files(*instance->state_->database->instance);
    refuse_functions(*instance->state_->database->instance);
    run(connection, "SET GLOBAL TimeZone = 'UTC'");
    if (options.temp_bytes_max > 0) {
      run(connection,
          fmt::format("SET GLOBAL max_temp_directory_size = '{}B'", options.temp_bytes_max));
    }
    auto& applied = duckdb::DBConfig::GetConfig(*instance->state_->database->instance);
    for (const std::string& directory : options.allowed_directories)
      applied.AddAllowedDirectory(directory);
    return instance;
  }));
  TRY(define_system_function(*opened, error_function()));
  return opened;
}

duckdb::DuckDB& Instance::database() { return *state_->database; }

std::unique_ptr<duckdb::Connection> Instance::connect() {
  return std::make_unique<duckdb::Connection>(*state_->database);
}

std::unique_ptr<duckdb::Connection> Instance::connect_trusted() {
  auto connection = connect();
  connection->context->client_data->client_file_system = make_file_system(*state_->files);
  return connection;
}

std::unique_ptr<duckdb::Connection> Instance::connect_user() { return connect_within(""); }

std::unique_ptr<duckdb::Connection> Instance::connect_within(const std::string& folder) {
  auto connection = connect();
  connection->context->client_data->client_file_system = make_folder_file_system(
      *connection->context, {.folder = folder, .own_directory = state_->own_directory});
  return connection;
}

Result<std::string> Instance::readable_path(const std::string& folder, const std::string& path) {
  return folder_path(*state_->database->instance,
                     {.folder = folder, .own_directory = state_->own_directory}, path);
}

std::string Instance::failure() const {
  auto& checker = duckdb::ValidChecker::Get(*state_->database->instance);
  return checker.IsInvalidated() ? checker.InvalidatedMessage() : std::string();
}

FileSystem& Instance::files() { return *state_->files; }

Status Instance::lock() {
  return guarded([&] {
    duckdb::Connection connection(*state_->database);
    run(connection, "SET GLOBAL enable_external_access = false");
    // What a session may change for itself; errors as JSON keep their position.
    auto& config = duckdb::DBConfig::GetConfig(*state_->database->instance);
    config.AddAllowedConfig("TimeZone");
    config.AddAllowedConfig("errors_as_json");
    run(connection, "SET GLOBAL lock_configuration = true");
  });
}

}  // namespace ziwa::duck
