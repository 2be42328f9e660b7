# espalier_library(name SOURCES a.cc ... DEPS espalier::x ... [PRIVATE_DEPS ...] [TORCH])
#   A static library with the alias espalier::name. TORCH: its sources may include LibTorch (linked PRIVATE; such a
#   library includes nothing of spdlog, gRPC or protobuf, whose headers LibTorch's own copies would shadow).
# espalier_program(name MAIN main.cc DEPS ... [TORCH])
# espalier_test_suite(name DEPS ... [TORCH] [LABELS ...] [TIMEOUT seconds])
#   One Catch2 program of every *_test.cc in the current folder; each test case is one ctest test.
add_library(espalier_flags INTERFACE)
target_include_directories(espalier_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(espalier_flags INTERFACE -Wall -Wextra -Wshadow -fno-math-errno)

# What reads the same heavy headers (LibTorch's take ten seconds) is compiled together: a fresh build takes minutes less. Off while one
# works on it, so that a changed file is all that is compiled.
option(ESPALIER_UNITY "Compile the sources of a library or a test suite together" ON)
set(ESPALIER_UNITY_LIBRARIES checkpoint core rpc schedule search security session store wire)

function(espalier_unity name batch_size)
  set_target_properties(${name} PROPERTIES UNITY_BUILD ${ESPALIER_UNITY} UNITY_BUILD_BATCH_SIZE ${batch_size})
endfunction()

function(espalier_library name)
  cmake_parse_arguments(ARG "TORCH" "" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  add_library(espalier_${name} STATIC ${ARG_SOURCES})
  add_library(espalier::${name} ALIAS espalier_${name})
  target_link_libraries(espalier_${name} PUBLIC espalier_flags ${ARG_DEPS} PRIVATE ${ARG_PRIVATE_DEPS})
  if(ARG_TORCH)
    target_link_libraries(espalier_${name} PRIVATE espalier::libtorch)
    espalier_unity(espalier_${name} 16)
  elseif(name IN_LIST ESPALIER_UNITY_LIBRARIES)
    espalier_unity(espalier_${name} 6)
  endif()
endfunction()

function(espalier_program name)
  cmake_parse_arguments(ARG "TORCH" "MAIN" "DEPS" ${ARGN})
  add_executable(${name} ${ARG_MAIN})
  target_link_libraries(${name} PRIVATE espalier_flags ${ARG_DEPS})
  if(ARG_TORCH)
    target_link_libraries(${name} PRIVATE espalier::libtorch)
  endif()
endfunction()

function(espalier_test_suite name)
  cmake_parse_arguments(ARG "TORCH" "TIMEOUT" "DEPS;LABELS" ${ARGN})
  if(ARG_TORCH AND NOT ESPALIER_BUILD_WORKER)  # all of LibTorch is left out
    return()
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*_test.cc)
  add_executable(${name} ${sources})
  espalier_unity(${name} 12)
  target_link_libraries(${name} PRIVATE espalier_flags ${ARG_DEPS} espalier::test_support espalier::catch_main)
  target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:-O1>)  # a third less to wait for; what is tested stays at -O3
  if(ARG_TORCH)
    target_link_libraries(${name} PRIVATE espalier::libtorch)
    target_compile_definitions(${name} PRIVATE ESPALIER_TEST_WITH_TORCH=1)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)  # for what hangs; a busy machine takes ten times as long as a quiet one
  endif()
  include(Catch)
  catch_discover_tests(${name} TEST_PREFIX "${name}: " DISCOVERY_MODE PRE_TEST PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}")
endfunction()
