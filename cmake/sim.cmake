# The deterministic simulation: perdure-sim, and a run of seeds as a test.
file(GLOB sim_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/sim/*.c)
add_executable(perdure-sim EXCLUDE_FROM_ALL ${sim_sources})
target_link_libraries(perdure-sim PRIVATE perdure_api)
add_dependencies(tests perdure-sim)
add_test(NAME sim COMMAND perdure-sim --seed 1 --runs 200)
add_test(NAME sim_repeats COMMAND perdure-sim --seed 1000 --runs 5 --twice)
