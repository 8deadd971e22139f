#!/usr/bin/env bash
# Run the tests that need a GPU, then compute-sanitizer's four tools over the ops' own, if installed:
# tools/test_gpu.sh [arguments of pytest]. PYTHON names the interpreter.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python}
# Without a GPU, or without its kernels, every test would be skipped and nothing checked.
"$python" - <<'EOF'
import sys

import torch

from mmdet_frn.ops.library import has_kernels

if not torch.cuda.is_available():
    sys.exit('error: torch finds no GPU here')
if not has_kernels('cuda'):
    sys.exit(
        'error: the ops are built without CUDA kernels; build them with '
        'FORCE_CUDA=1 pip install --no-build-isolation -e .'
    )
EOF
"$python" -m pytest -m gpu "$@"
if ! command -v compute-sanitizer >/dev/null; then
    echo 'compute-sanitizer is not on PATH: its four tools were not run' >&2
    exit 0
fi
# Each tensor in an allocation of its own, so that what lies beyond its end belongs to no other.
export PYTORCH_NO_CUDA_MEMORY_CACHING=1
for tool in memcheck racecheck initcheck synccheck; do
    echo "compute-sanitizer --tool $tool"
    compute-sanitizer --tool "$tool" --error-exitcode 1 \
        "$python" -m pytest tests/test_ops -m 'gpu and not slow' -q -p no:cacheprovider
done
