#!/bin/sh
# `make test-sanitize`: the op tests on a build of the CPU ops with the address and undefined-behaviour
# sanitizers of GCC, in build/sanitize. The arguments are those of pytest; PYTHON names the interpreter.
set -eu
python=${PYTHON:-$PWD/.venv/bin/python}
lib=build/sanitize/lib
flags='-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g1'
# Copies of modules that are gone here would be found.
find "$lib" -name '*.py' -delete 2>/dev/null || :
FORCE_CUDA=0 CFLAGS="$flags" LDFLAGS="$flags" \
    "$python" setup.py -q build --build-base build/sanitize --build-lib "$lib"

# Python has leaks of its own. The runtimes come first in every process, those that a test starts too.
runtime() { "${CXX:-c++}" -print-file-name="$1"; }
export LD_PRELOAD="$(runtime libasan.so) $(runtime libubsan.so)"
export ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 PYTHONPATH="$PWD/$lib"
(cd "$lib" && "$python" - "$PWD" <<'END'
import sys
from mmdet_frn import ops
if not ops.__file__.startswith(sys.argv[1]) or not ops.is_compiled():
    sys.exit(f'test_sanitize.sh: expected compiled ops in {sys.argv[1]}, got {ops.__file__}')
END
)
# What kills the process writes to its stderr, which pytest would take along.
exec "$python" -m pytest --capture=sys -p no:cacheprovider -o pythonpath="$lib" \
    tests/test_ops --ignore=tests/test_ops/cuda_emulation --ignore=tests/test_ops/test_cuda_build.py "$@"
