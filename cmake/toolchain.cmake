# Compiler, linker, cache, warnings and sanitizers: the same for every module.
set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS ON)  # TRY() is a statement expression
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(ZIWA_SANITIZE "" CACHE STRING "Sanitizers, as for -fsanitize=")

if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  message(FATAL_ERROR "Ziwa builds with Clang 19 only: GCC 12 miscompiles coroutines (see docs/contributing.md)")
endif()

find_program(ZIWA_CCACHE ccache)
if(ZIWA_CCACHE)
  # Precompiled headers (cmake/pch.cmake) hit the cache only with these and -fno-pch-timestamp.
  set(ZIWA_CCACHE_LAUNCHER "${CMAKE_COMMAND};-E;env;CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime;CCACHE_BASEDIR=${CMAKE_SOURCE_DIR};CCACHE_NOHASHDIR=1;CCACHE_DIR=$ENV{HOME}/.cache/ziwa/ccache;CCACHE_MAXSIZE=5G;${ZIWA_CCACHE}")
  set(CMAKE_C_COMPILER_LAUNCHER "${ZIWA_CCACHE_LAUNCHER}")
  set(CMAKE_CXX_COMPILER_LAUNCHER "${ZIWA_CCACHE_LAUNCHER}")
endif()

find_program(ZIWA_MOLD mold)
if(ZIWA_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

add_compile_options(
  -Wall -Wextra -Wpedantic -Werror -Wthread-safety -Wnon-virtual-dtor -Woverloaded-virtual
  -Wno-gnu-statement-expression -Wno-missing-field-initializers
  -fno-omit-frame-pointer -ffile-prefix-map=${CMAKE_SOURCE_DIR}/= -Xclang -fno-pch-timestamp)
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1 -march=x86-64-v2 -DNDEBUG")
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g1 -march=x86-64-v2 -DNDEBUG")
set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g1 -march=x86-64-v2")
set(CMAKE_C_FLAGS_DEBUG "-O1 -g1 -march=x86-64-v2")

if(ZIWA_SANITIZE)
  add_compile_options(-fsanitize=${ZIWA_SANITIZE} -fno-sanitize=vptr -fno-sanitize-recover=undefined)
  add_link_options(-fsanitize=${ZIWA_SANITIZE} -fno-sanitize=vptr)
endif()
