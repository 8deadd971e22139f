#!/bin/sh
# `make test STACK=openmmlab`: the tests on OpenMMLab's own packages (constraints-openmmlab.txt).
# They run in a copy of this checkout with a .venv of its own, because the ops are compiled in place
# for one torch. The arguments are those of pytest.
set -eu
copy=.openmmlab
mkdir -p "$copy"
# What is gone here goes there too, except the environment and the compiled ops.
for name in benchmarks configs docs tests tools; do rm -rf "${copy:?}/$name"; done
find "$copy/mmdet_frn" -name '*.py' -delete 2>/dev/null || :
tar -cf - --exclude=__pycache__ --exclude='_ext*.so' benchmarks configs docs mmdet_frn tests tools \
    Makefile setup.py pyproject.toml constraints-openmmlab.txt .pre-commit-config.yaml \
    LICENSE MANIFEST.in CITATION.cff ./*.md | tar -xf - -C "$copy"
# These pins over those of constraints.txt; written only on a change, which repeats the set-up.
names="$(sed -n 's/==.*//p' constraints-openmmlab.txt | paste -sd '|')"
{ grep -vE "^($names)==" constraints.txt; cat constraints-openmmlab.txt; } >"$copy/pins"
cmp -s "$copy/pins" "$copy/constraints.txt" || cp "$copy/pins" "$copy/constraints.txt"
[ -z "${MMCV_WHEEL:-}" ] || MMCV_WHEEL="$(realpath "$MMCV_WHEEL")"
cd "$copy"
env -u MAKEFLAGS -u MAKEOVERRIDES -u STACK make setup PACKAGES=openmmlab
# The set-up is tested with the pins of the first stack.
exec .venv/bin/python -m pytest --numprocesses=logical --dist=loadfile \
    --ignore=tests/test_tools/test_setup.py "$@"
