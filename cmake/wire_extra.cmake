# The wire alone: what tests/wire drives, and a bench of it.
foreach(tool echo_server echo_bench)
  if(EXISTS ${CMAKE_SOURCE_DIR}/tests/wire/${tool}.c)
    add_executable(wire_${tool} EXCLUDE_FROM_ALL ${CMAKE_SOURCE_DIR}/tests/wire/${tool}.c)
    target_link_libraries(wire_${tool} PRIVATE perdure_wire)
    add_dependencies(tests wire_${tool})
  endif()
endforeach()
