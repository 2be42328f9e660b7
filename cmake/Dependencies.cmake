# Every package, in the one order that works. LibTorch comes last: its own configuration files would otherwise define
# protobuf::libprotobuf as an empty target.
find_package(Threads REQUIRED)
find_package(Protobuf REQUIRED)
find_package(absl CONFIG REQUIRED)
find_package(c-ares QUIET)
find_package(gRPC CONFIG REQUIRED)
find_package(Boost 1.81 REQUIRED)
find_package(prometheus-cpp CONFIG REQUIRED)
find_package(spdlog CONFIG REQUIRED)
find_package(CLI11 CONFIG REQUIRED)
find_package(nlohmann_json CONFIG REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(CURL REQUIRED)

# SOCI has no CMake package in Debian.
find_path(SOCI_INCLUDE_DIR soci/soci.h REQUIRED)
find_library(SOCI_CORE_LIBRARY soci_core REQUIRED)
find_library(SOCI_SQLITE3_LIBRARY soci_sqlite3 REQUIRED)
find_library(SOCI_POSTGRESQL_LIBRARY soci_postgresql REQUIRED)
find_path(PQ_INCLUDE_DIR libpq-fe.h PATH_SUFFIXES postgresql REQUIRED)
find_library(PQ_LIBRARY pq REQUIRED)
add_library(espalier_soci INTERFACE)
target_include_directories(espalier_soci SYSTEM INTERFACE ${SOCI_INCLUDE_DIR} ${SOCI_INCLUDE_DIR}/soci ${PQ_INCLUDE_DIR})
target_link_libraries(espalier_soci INTERFACE
  ${SOCI_CORE_LIBRARY} ${SOCI_SQLITE3_LIBRARY} ${SOCI_POSTGRESQL_LIBRARY} ${PQ_LIBRARY})
if(ESPALIER_SANITIZE MATCHES "undefined")  # Debian's libraries hide the type information that this check reads
  target_compile_options(espalier_soci INTERFACE -fno-sanitize=vptr)
endif()
add_library(espalier::soci ALIAS espalier_soci)

if(ESPALIER_BUILD_TESTS)
  find_package(Catch2 REQUIRED)
endif()
if(ESPALIER_BUILD_WORKER)
  include(LibTorch)
endif()

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()
