# Precompiled headers that all checkouts of a machine share, so that ccache hits across them. CMake's own embed the path of the
# checkout; these hold system headers only and lie in ~/.cache/ziwa/pch/<hash of all that matters>/, built while configuring.
#   ziwa_pch(std|gtest|duckdb|duckdb_gtest)  ->  ZIWA_PCH_<name> is the file
set(ziwa_std_headers algorithm array atomic chrono cstdint cstring expected functional map memory mutex optional span
    string string_view unordered_map utility variant vector)
set(CMAKE_CXX_COMPILE_OPTIONS_PIE -fPIC)  # one code model for libraries and programs: they share the files

function(ziwa_pch name)
  set(text "")
  foreach(header IN LISTS ziwa_std_headers)
    string(APPEND text "#include <${header}>\n")
  endforeach()
  if(name MATCHES "gtest")
    string(APPEND text "#include <gmock/gmock.h>\n#include <gtest/gtest.h>\n")
  endif()
  if(name MATCHES "duckdb")
    file(READ "${CMAKE_SOURCE_DIR}/src/duck/duckdb.h" duckdb_header)
    string(REPLACE "#pragma once" "" duckdb_header "${duckdb_header}")
    string(APPEND text "${duckdb_header}")
  endif()

  get_directory_property(options COMPILE_OPTIONS)
  list(FILTER options EXCLUDE REGEX "prefix-map")
  string(TOUPPER "${CMAKE_BUILD_TYPE}" config)
  separate_arguments(flags UNIX_COMMAND "${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_${config}}")
  list(APPEND flags -std=gnu++2b -fPIC ${options})
  if(name MATCHES "gtest")
    list(APPEND flags -DGTEST_HAS_PTHREAD=1)  # as CMake's GTest targets define it
  endif()
  get_target_property(includes ziwa_3p_duckdb INTERFACE_INCLUDE_DIRECTORIES)
  foreach(include IN LISTS includes)
    list(APPEND flags -isystem "${include}")
  endforeach()

  string(SHA256 key "${text}|${flags}|${CMAKE_CXX_COMPILER_VERSION}|${ZIWA_DUCKDB_VERSION}")
  string(SUBSTRING "${key}" 0 16 key)
  set(directory "$ENV{HOME}/.cache/ziwa/pch/${name}-${key}")
  set(pch "${directory}/${name}.h.pch")
  set(ZIWA_PCH_${name} "${pch}" PARENT_SCOPE)
  if(EXISTS "${pch}")
    # An upgraded system header makes the file stale: try it.
    file(WRITE "${CMAKE_BINARY_DIR}/pch_check.cpp" "int main() { return 0; }\n")
    execute_process(COMMAND ${CMAKE_CXX_COMPILER} ${flags} -include-pch "${pch}" -fsyntax-only
                            "${CMAKE_BINARY_DIR}/pch_check.cpp" RESULT_VARIABLE failed ERROR_QUIET)
    if(NOT failed)
      return()
    endif()
  endif()
  message(STATUS "Precompiling headers: ${name}")
  file(MAKE_DIRECTORY "${directory}")
  if(NOT EXISTS "${directory}/${name}.h")
    file(WRITE "${directory}/${name}.h" "${text}")
  endif()
  string(RANDOM LENGTH 8 suffix)
  execute_process(COMMAND ${CMAKE_CXX_COMPILER} ${flags} -fpch-instantiate-templates -x c++-header "${directory}/${name}.h"
                          -o "${pch}.${suffix}" COMMAND_ERROR_IS_FATAL ANY)
  file(RENAME "${pch}.${suffix}" "${pch}")
endfunction()

foreach(name IN ITEMS std gtest duckdb duckdb_gtest)
  ziwa_pch(${name})
endforeach()

# Gives `target` the precompiled header `name`.
function(ziwa_use_pch target name)
  target_compile_options(${target} PRIVATE "SHELL:-include-pch ${ZIWA_PCH_${name}}")
endfunction()
