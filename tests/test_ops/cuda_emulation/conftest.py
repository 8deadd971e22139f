"""The emulated library, built once a session."""

import os
import platform
import sys
from pathlib import Path

import pytest

# build_library.py and emulator.py are modules of their own, beside the tests.
sys.path.insert(0, str(Path(__file__).parent))

import build_library
from emulator import Emulator
from filelock import FileLock


@pytest.fixture(scope='session')
def emulator(tmp_path_factory):
    if platform.system() != 'Linux':
        pytest.skip('the emulator needs dladdr, ucontext and mmap as Linux has them')
    if build_library.compiler() is None:
        pytest.skip('no C++ compiler: install g++ or name one in CXX')
    root = tmp_path_factory.getbasetemp()
    # The workers of pytest-xdist share one build.
    folder = (root.parent if 'PYTEST_XDIST_WORKER' in os.environ else root) / 'cuda_emulation'
    with FileLock(f'{folder}.lock'):
        library = folder / build_library.LIBRARY
        return Emulator(library if library.exists() else build_library.build(folder))
