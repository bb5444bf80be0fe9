# Power cuts and failing disks: perdure-power, the simulation's server over the real store.
file(GLOB power_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/power/*.c)
set(power_simulation ${sim_sources})
list(FILTER power_simulation EXCLUDE REGEX "/main\\.c$")
add_executable(perdure-power EXCLUDE_FROM_ALL ${power_sources} ${power_simulation})
target_link_libraries(perdure-power PRIVATE perdure_api)
# It takes the place of functions of the C library, which the headers must not have made something else of.
target_compile_options(perdure-power PRIVATE -U_FORTIFY_SOURCE)
add_dependencies(tests perdure-power)
