# Targets beside the modules: one file per owner.
include(cmake/wire_extra.cmake OPTIONAL)
include(cmake/bench.cmake)
include(cmake/oracle.cmake)
include(cmake/sim.cmake)
include(cmake/fuzz.cmake)
include(cmake/power.cmake)
