# Everything that is built here under ESPALIER_SANITIZE (Debian's libraries are not). A build type of its own: assertions
# on, lines in reports, and not so slow that nobody runs it.
set(CMAKE_BUILD_TYPE Sanitize)
set(CMAKE_CXX_FLAGS_SANITIZE "-O1 -g1 -fno-omit-frame-pointer")
add_compile_options(-fsanitize=${ESPALIER_SANITIZE})
add_link_options(-fsanitize=${ESPALIER_SANITIZE})
if(ESPALIER_SANITIZE MATCHES "undefined")
  add_compile_options(-fno-sanitize-recover=undefined)
endif()
# With Clang's AddressSanitizer the fuzzers of tests/fuzz come from the same objects.
if(ESPALIER_SANITIZE MATCHES "address" AND CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  set(ESPALIER_FUZZERS ON)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
set(CMAKE_UNITY_BUILD ON)
set(CMAKE_UNITY_BUILD_BATCH_SIZE 12)
