# What the ROS 2 wheels need of a CMake project, done once every find_package and target of it is.
# With any other ROS 2 installation nothing here finds anything to do.

# The wheels' imported targets name include directories of the machine that built them, and CMake
# refuses to generate when one is missing.
function(_drop_missing_include_directories)
  get_property(targets DIRECTORY PROPERTY IMPORTED_TARGETS)
  foreach(target IN LISTS targets)
    foreach(property INTERFACE_INCLUDE_DIRECTORIES INTERFACE_SYSTEM_INCLUDE_DIRECTORIES)
      get_target_property(directories ${target} ${property})
      if(NOT directories)
        continue()
      endif()
      set(kept)
      foreach(directory IN LISTS directories)
        if(directory MATCHES "[$]<" OR EXISTS "${directory}")
          list(APPEND kept "${directory}")
        endif()
      endforeach()
      if(NOT kept STREQUAL directories)
        set_target_properties(${target} PROPERTIES ${property} "${kept}")
      endif()
    endforeach()
  endforeach()
endfunction()

# NumPy's headers lie in an environment inside the source folder, and CMake refuses to export such a path.
function(_keep_environment_out_of_exports)
  set(target ${PROJECT_NAME}__rosidl_generator_py)
  get_target_property(directories ${target} INTERFACE_INCLUDE_DIRECTORIES)
  set(kept)
  foreach(directory IN LISTS directories)
    string(FIND "${directory}" "${CMAKE_CURRENT_SOURCE_DIR}/" place)
    if(place EQUAL 0)
      list(APPEND kept "$<BUILD_INTERFACE:${directory}>")
    else()
      list(APPEND kept "${directory}")
    endif()
  endforeach()
  set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${kept}")
endfunction()

cmake_language(DEFER CALL _drop_missing_include_directories)
cmake_language(DEFER CALL _keep_environment_out_of_exports)
