# Warnings and sanitizers as targets: nothing is set globally.
add_library(znode_warnings INTERFACE)
add_library(znode::warnings ALIAS znode_warnings)
target_compile_options(znode_warnings INTERFACE
  -Wall -Wextra -Wno-missing-designated-field-initializers -Wpedantic -Wshadow -Wconversion -Wcast-qual -Wimplicit-fallthrough
  $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor -Woverloaded-virtual -Wold-style-cast>)

add_library(znode_sanitizers INTERFACE)
add_library(znode::sanitizers ALIAS znode_sanitizers)
if(ZNODE_SANITIZE)
  target_compile_options(znode_sanitizers INTERFACE -fsanitize=${ZNODE_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(znode_sanitizers INTERFACE -fsanitize=${ZNODE_SANITIZE})
  if(ZNODE_SANITIZE MATCHES "undefined")
    target_compile_options(znode_sanitizers INTERFACE -fno-sanitize-recover=undefined)
  endif()
endif()
if(ZNODE_FAILPOINTS)
  target_compile_definitions(znode_sanitizers INTERFACE ZNODE_FAILPOINTS=1)
endif()

# Headers every file of the asynchronous layers pays for. A module asks for them with PCH async.
set(ZNODE_PCH_async
  <boost/asio/awaitable.hpp> <boost/asio/co_spawn.hpp> <boost/asio/io_context.hpp>
  <boost/asio/steady_timer.hpp> <boost/asio/use_awaitable.hpp> <boost/asio/as_tuple.hpp>
  <boost/asio/experimental/parallel_group.hpp> <boost/asio/posix/stream_descriptor.hpp>
  <boost/asio/thread_pool.hpp> <tl/expected.hpp>
  <algorithm> <chrono> <filesystem> <functional> <map> <memory> <optional> <ranges> <string>
  <string_view> <vector>)

# znode_module(<name> SOURCES ... [USES module...] [LINKS target...] [PCH async])
#
# USES are the modules whose headers this module's own headers mention, LINKS are private.
# A module that is not listed cannot be included: that is how the layering is kept.
function(znode_module name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "PCH" "SOURCES;USES;LINKS;PUBLIC_LINKS")

  add_library(znode_${name} STATIC ${arg_SOURCES})
  add_library(znode::${name} ALIAS znode_${name})
  list(TRANSFORM arg_USES PREPEND znode::)

  target_include_directories(znode_${name} PUBLIC include PRIVATE src)
  target_link_libraries(znode_${name}
    PUBLIC ${arg_USES} ${arg_PUBLIC_LINKS} znode::sanitizers
    PRIVATE ${arg_LINKS} znode::warnings)
  if(arg_PCH)
    target_precompile_headers(znode_${name} PRIVATE ${ZNODE_PCH_${arg_PCH}})
  endif()
endfunction()

# znode_program(<name> SOURCES ... [LINKS target...] [PCH async]): a binary of the product.
function(znode_program name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "PCH;DESTINATION" "SOURCES;LINKS")
  add_executable(${name} ${arg_SOURCES})
  target_include_directories(${name} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${arg_LINKS} znode::warnings znode::sanitizers)
  if(arg_PCH)
    target_precompile_headers(${name} PRIVATE ${ZNODE_PCH_${arg_PCH}})
  endif()
  install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endfunction()

# znode_static_program(<name> SOURCES ...): a small static helper, never sanitized, since ASan and
# -static exclude each other. Its sources are also built as a library where unit tests want them.
function(znode_static_program name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;INCLUDES")
  add_executable(${name} ${arg_SOURCES})
  target_include_directories(${name} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR} ${arg_INCLUDES})
  target_compile_options(${name} PRIVATE -Os -fno-exceptions -fno-rtti -fno-asynchronous-unwind-tables
    -ffunction-sections -fdata-sections)
  target_link_options(${name} PRIVATE -static -Wl,--gc-sections)
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_link_libraries(${name} PRIVATE znode::warnings)
  install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/znode)
endfunction()

# znode_test(<module> [LABEL unit|vectors|root|e2e|fuzz] SOURCES ... [LINKS target...] [TIMEOUT s]
#            [DEPENDS program...] [VECTORS file=filter...])
#
# One test binary per module and label, named test_<module>[_<label>]; ctest runs it as a whole.
# Of VECTORS each is a ctest of its own, vectors.<file>, and the whole is what they leave over.
function(znode_test module)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "LABEL;TIMEOUT;PCH" "SOURCES;LINKS;DEPENDS;VECTORS")
  if(NOT arg_LABEL)
    set(arg_LABEL unit)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  set(target test_${module}_${arg_LABEL})
  add_executable(${target} ${arg_SOURCES})
  target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR}/tests/support)
  target_compile_definitions(${target} PRIVATE
    ZNODE_TEST_DATA="${CMAKE_SOURCE_DIR}/tests/data" ZNODE_BIN_DIR="${CMAKE_BINARY_DIR}/bin")
  target_link_libraries(${target} PRIVATE znode::${module} ${arg_LINKS} znode::test_support
    znode::warnings znode::sanitizers)
  if(arg_PCH)
    target_precompile_headers(${target} PRIVATE <gtest/gtest.h> <gmock/gmock.h> ${ZNODE_PCH_${arg_PCH}})
  else()
    target_precompile_headers(${target} REUSE_FROM znode_test_support)
  endif()
  if(arg_DEPENDS)
    add_dependencies(${target} ${arg_DEPENDS})
  endif()
  set(rest)
  foreach(pair IN LISTS arg_VECTORS)
    string(REGEX MATCH "^([^=]+)=(.+)$" pair "${pair}")
    set(name vectors.${CMAKE_MATCH_1})
    set(filter ${CMAKE_MATCH_2})
    add_test(NAME ${name} COMMAND ${target} --gtest_filter=${filter})
    # A filter that matches nothing ends well, says gtest.
    set_tests_properties(${name} PROPERTIES LABELS ${arg_LABEL} TIMEOUT ${arg_TIMEOUT}
      FAIL_REGULAR_EXPRESSION "Running 0 tests")
    string(APPEND rest ":${filter}")
  endforeach()
  string(REGEX REPLACE "^:" "--gtest_filter=-" rest "${rest}")
  add_test(NAME ${module}.${arg_LABEL} COMMAND ${target} ${rest})
  set_tests_properties(${module}.${arg_LABEL} PROPERTIES LABELS ${arg_LABEL} TIMEOUT ${arg_TIMEOUT})
endfunction()
