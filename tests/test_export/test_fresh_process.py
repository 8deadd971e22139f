"""Files of a model with FRN in a process that has not imported mmdet_frn, as on a server."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from mmdet_frn import ops
from mmdet_frn.layers import FRN, TLU
from mmdet_frn.ops.library import reference_only

pytestmark = pytest.mark.skipif(not ops.is_compiled(), reason='the files name the compiled op')

# What a server runs: torch, at most the library, and never this package.
LOAD = """
import sys, torch
library, *files = sys.argv[1:]
if library:
    torch.ops.load_library(library)
x, expected = torch.load('data.pt')
for file in files:
    try:
        if file.endswith('.pt2'):
            y = torch.export.load(file).module()(x)
        else:
            y = torch.jit.load(file)(x)
        print(file, torch.allclose(y, expected, rtol=1e-5, atol=1e-5))
    except RuntimeError as error:
        print(file, 'names the op' if 'mmdet_frn::frn' in str(error) else 'does not load')
assert 'mmdet_frn' not in sys.modules
"""


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.frn = FRN(4, learnable_eps=True, prior=0.5)
        self.tlu = TLU(4, init=-0.5)

    def forward(self, x):
        return self.frn(self.conv(x), tau=self.tlu.tau)


def in_a_fresh_process(folder, library, *files):
    """What each file gave: whether its output is right, or what its error says."""
    path = str(next(Path(ops.__file__).parent.glob('_ext*.so'))) if library else ''
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', LOAD, path, *files],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(line.split(' ', 1) for line in done.stdout.splitlines() if line)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Files of one model, with data of another size than they were traced with."""
    folder = tmp_path_factory.mktemp('files')
    torch.manual_seed(0)
    model, x = Model().eval(), torch.randn(2, 3, 8, 10)
    with torch.no_grad():
        other = torch.randn(3, 3, 9, 12)
        torch.save((other, model(other)), folder / 'data.pt')
        sizes = {name: torch.export.Dim(name, min=4) for name in ('height', 'width')}
        dynamic = ({0: torch.export.Dim('batch'), 2: sizes['height'], 3: sizes['width']},)
        program = torch.export.export(model, (x,), dynamic_shapes=dynamic)
        torch.export.save(program, folder / 'model.pt2')
        torch.jit.script(model).save(folder / 'script.pt')
        with reference_only():
            plain = torch.export.export(model, (x,), dynamic_shapes=dynamic)
        torch.export.save(plain, folder / 'plain.pt2')
    return folder


FILES = ('model.pt2', 'script.pt', 'plain.pt2')


def test_a_file_needs_the_library_and_nothing_else_of_this_package(folder):
    assert in_a_fresh_process(folder, True, *FILES) == dict.fromkeys(FILES, 'True')


def test_without_the_library_only_a_program_of_reference_ops_loads(folder):
    found = in_a_fresh_process(folder, False, *FILES)
    assert found == {
        'model.pt2': 'does not load',
        'script.pt': 'names the op',
        'plain.pt2': 'True',
    }
