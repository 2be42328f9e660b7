# The pip wheel of torch is a LibTorch. find_package(Torch) is not used: it demands a CUDA toolkit at configure time.
# ESPALIER_TORCH names the folder of the Python package "torch" (the one that holds include/ and lib/).
if(NOT ESPALIER_TORCH AND DEFINED ENV{ESPALIER_TORCH})
  set(ESPALIER_TORCH $ENV{ESPALIER_TORCH})
endif()
if(NOT ESPALIER_TORCH AND EXISTS ${CMAKE_SOURCE_DIR}/.deps/torch-folder)
  file(STRINGS ${CMAKE_SOURCE_DIR}/.deps/torch-folder ESPALIER_TORCH LIMIT_COUNT 1)
endif()
set(ESPALIER_TORCH ${ESPALIER_TORCH} CACHE PATH "Folder of the Python package torch" FORCE)
if(NOT EXISTS ${ESPALIER_TORCH}/include/torch/csrc/api/include/torch/types.h)
  message(FATAL_ERROR "No LibTorch in '${ESPALIER_TORCH}'. Run tools/setup.sh, or set ESPALIER_TORCH to the folder that "
                      "python3 -c 'import torch; print(torch.__path__[0])' prints (torch 2.11).")
endif()
get_filename_component(ESPALIER_SITE_PACKAGES ${ESPALIER_TORCH} DIRECTORY)

add_library(espalier_libtorch INTERFACE)
add_library(espalier::libtorch ALIAS espalier_libtorch)
target_include_directories(espalier_libtorch SYSTEM INTERFACE
  ${ESPALIER_TORCH}/include ${ESPALIER_TORCH}/include/torch/csrc/api/include)
target_link_directories(espalier_libtorch INTERFACE ${ESPALIER_TORCH}/lib)
target_compile_definitions(espalier_libtorch INTERFACE _GLIBCXX_USE_CXX11_ABI=1)
set(torch_libraries torch_cpu c10)
if(EXISTS ${ESPALIER_TORCH}/lib/libtorch_cuda.so)
  # libcudart: inline functions of the CUDA headers call it.
  list(APPEND torch_libraries torch_cuda c10_cuda :libcudart.so.13)
  set(cuda_folder ${ESPALIER_SITE_PACKAGES}/nvidia/cu13)
  if(NOT EXISTS ${cuda_folder}/include/cuda_runtime_api.h)
    message(FATAL_ERROR "torch in '${ESPALIER_TORCH}' is a CUDA build, but '${cuda_folder}/include' has no CUDA headers.")
  endif()
  target_include_directories(espalier_libtorch SYSTEM INTERFACE ${cuda_folder}/include)
  # cuda_runtime_api.h wants crt/, which is a package of its own (nvidia-cuda-crt); Triton, which comes with torch, has a copy.
  if(NOT EXISTS ${cuda_folder}/include/crt/host_defines.h)
    target_include_directories(espalier_libtorch SYSTEM INTERFACE ${ESPALIER_SITE_PACKAGES}/triton/backends/nvidia/include)
  endif()
  target_link_directories(espalier_libtorch INTERFACE ${cuda_folder}/lib)
  target_compile_definitions(espalier_libtorch INTERFACE ESPALIER_HAS_CUDA=1)
endif()
# Nothing refers to libtorch_cuda by symbol, so the linker would drop it.
list(TRANSFORM torch_libraries PREPEND -l OUTPUT_VARIABLE torch_flags)
target_link_libraries(espalier_libtorch INTERFACE "-Wl,--no-as-needed" ${torch_flags} "-Wl,--as-needed")
target_link_options(espalier_libtorch INTERFACE "LINKER:-rpath,${ESPALIER_TORCH}/lib" "LINKER:-rpath-link,${cuda_folder}/lib")
