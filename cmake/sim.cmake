# The deterministic simulation: perdure-sim, and a run of seeds as a test.
file(GLOB sim_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/sim/*.c)
add_executable(perdure-sim ${sim_sources})
target_link_libraries(perdure-sim PRIVATE perdure_api perdure_check perdure_oracle)
add_dependencies(tests perdure-sim)
add_test(NAME sim COMMAND perdure-sim --seed 1 --runs 140)
add_test(NAME sim_repeats COMMAND perdure-sim --seed 1000 --runs 5 --twice)
add_test(NAME sim_regressions COMMAND ${CMAKE_SOURCE_DIR}/tests/sim/regressions/run.sh $<TARGET_FILE:perdure-sim>)

# Scenarios: each file of tests/scenario is one binary over api, engine, matching and runtime.
file(GLOB scenario_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/scenario/*_test.c)
foreach(scenario ${scenario_sources})
  get_filename_component(name ${scenario} NAME_WE)
  add_executable(scenario_${name} EXCLUDE_FROM_ALL ${scenario})
  target_link_libraries(scenario_${name} PRIVATE perdure_api PkgConfig::CMOCKA)
  target_compile_options(scenario_${name} PRIVATE -Wno-missing-prototypes)
  add_dependencies(tests scenario_${name})
  add_test(NAME scenario_${name} COMMAND scenario_${name})
endforeach()
