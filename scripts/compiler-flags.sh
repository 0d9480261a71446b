#!/bin/sh
# Flags that llama.cpp has to be built with on this machine, printed in one line; usually none.
set -eu

# GCC 12 says of `ldtilecfg` that it reads 8 bytes of a tile configuration of 64, and leaves out the stores of the others:
# on a processor with AMX the first prompt ends the program. Without the passes that do so it is right.
if grep -qsw amx_tile /proc/cpuinfo && "${CXX:-c++}" --version 2>/dev/null | grep -q "Free Software Foundation"; then
    echo "-fno-tree-dse -fno-dse"
fi
