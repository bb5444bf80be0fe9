# The load generator of ./dev bench: not part of `all`, and never of what is installed.
file(GLOB bench_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/bench/*.c)
list(FILTER bench_sources EXCLUDE REGEX "(store|visibility)_bench\\.c$")
add_executable(perdure_bench EXCLUDE_FROM_ALL ${bench_sources})
target_link_libraries(perdure_bench PRIVATE perdure_wire perdure_codec)
target_compile_definitions(perdure_bench PRIVATE BENCH_SOURCE_DIRECTORY="${CMAKE_SOURCE_DIR}/bench")
add_dependencies(tests perdure_bench) # so that it compiles whenever the tests do
