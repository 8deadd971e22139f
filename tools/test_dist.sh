#!/usr/bin/env bash
# Install the archives of dist/ into empty folders, the wheel as it is and the source without a
# compiler, and run a layer of each. PYTHON names the interpreter.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../dist"
python=${PYTHON:-python}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
install() { "$python" -m pip install -q --no-deps --no-build-isolation --target "$folder/$1" "$2"; }
check() {
    (cd "$folder" && PYTHONPATH="$folder/$1" "$python" -W ignore::RuntimeWarning -c "
import torch
import mmdet_frn
from mmdet_frn.layers import FRN
from mmdet_frn.ops import is_compiled
assert mmdet_frn.__file__.startswith('$folder/$1'), mmdet_frn.__file__
assert is_compiled() == $2, is_compiled()
assert FRN(4)(torch.ones(1, 4, 2, 2)).allclose(torch.ones(1), atol=1e-4)
print('$1: version', mmdet_frn.__version__, 'with ops' if is_compiled() else 'on the reference ops')
")
}
install wheel ./*.whl
check wheel "${WITH_OPS:-True}"
CXX=no-compiler install source ./*.tar.gz
check source False
