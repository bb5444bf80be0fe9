# Power cuts and failing disks: perdure-power, the simulation's server over the real store.
file(GLOB power_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/power/*.c)
set(power_simulation ${sim_sources})
list(FILTER power_simulation EXCLUDE REGEX "tests/sim/main\\.c$")
add_executable(perdure-power EXCLUDE_FROM_ALL ${power_sources} ${power_simulation})
target_link_libraries(perdure-power PRIVATE perdure_api perdure_check perdure_oracle)
# It takes the place of functions of the C library, which the headers must not have made something else of.
target_compile_options(perdure-power PRIVATE -U_FORTIFY_SOURCE)
add_dependencies(tests perdure-power)
add_test(NAME power_cuts COMMAND perdure-power cuts --points 6000)
add_test(NAME power_cuts_in_runs COMMAND perdure-power live --runs 6)
add_test(NAME power_io_errors COMMAND perdure-power faults --runs 10 --fault io)
add_test(NAME power_disk_full COMMAND perdure-power faults --runs 6 --fault full)
add_test(NAME power_disk_full_in_part COMMAND perdure-power faults --runs 6 --fault short)
add_test(NAME power_no_memory COMMAND perdure-power faults --runs 6 --fault memory)
# A disk that takes no notice of flushes: passes when it is seen to lose what was answered.
add_test(NAME power_without_flushes COMMAND perdure-power cuts --points 1000 --flushes none)
add_test(NAME power_synchronous_normal COMMAND perdure-power cuts --points 1000 --flushes normal)
