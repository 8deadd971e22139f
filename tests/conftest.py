"""What tests share: a tiny detection set and the options that shrink a config to it."""

import os
import sys
from pathlib import Path

# warm_process.py is a module of its own, beside the tests.
sys.path.insert(0, str(Path(__file__).parent))

# Under `pytest -n`, before torch is imported: each worker, and each process that a test starts,
# computes on one thread, as the workers have the cores between them.
if 'PYTEST_XDIST_WORKER' in os.environ:
    os.environ.setdefault('OMP_NUM_THREADS', '1')

import pytest

from mmdet_frn import ops

TINY = {
    'model.backbone.base_channels': 8,
    'model.neck.in_channels': [8, 16, 32],
    'model.neck.out_channels': 16,
    'model.bbox_head.in_channels': 16,
    'model.bbox_head.feat_channels': 16,
    'model.bbox_head.stacked_convs': 1,
    'default_hooks.logger.interval': 1,
}
PARTS = ('backbone', 'neck', 'bbox_head')


def pytest_configure():
    """Stop where the library of the ops is absent, broken or old: tests would skip, none fail."""
    complete = ops.is_compiled() and not ops.library.MISSING_OPS
    if not complete and os.getenv('MMDET_FRN_WITH_OPS', '1') != '0':
        raise pytest.UsageError(
            'the compiled ops of mmdet_frn are absent, do not load or are older than the package '
            '(see the warning): build them with `pip install --no-build-isolation -e .`, or set '
            'MMDET_FRN_WITH_OPS=0 to test without them'
        )


@pytest.fixture(autouse=True)
def mmdet_scope():
    """Let no test look for MMDetection's parts in the scope that another's Runner left behind."""
    from mmengine.registry import DefaultScope, init_default_scope

    scope = DefaultScope.get_current_instance()
    if scope is not None and scope.scope_name != 'mmdet':
        init_default_scope('mmdet')


@pytest.fixture(scope='session')
def tiny_options():
    """Options for a detector small enough to train a step in milliseconds."""
    return dict(TINY)


@pytest.fixture(scope='session')
def tiny_config(tiny_options):
    """Return a function that makes the config of a RetinaNet with ``norm`` that is tiny."""
    from helpers import SHAPES_CONFIG

    from mmdet_frn.utils.config import load_config

    def make(norm='frn', options=None):
        groups = {f'model.{part}.norm_cfg.num_groups': 4 for part in PARTS} if norm == 'gn' else {}
        path = str(SHAPES_CONFIG).replace('frn-all', f'{norm}-all')
        return load_config(path, {**tiny_options, **groups, **(options or {})})

    return make


@pytest.fixture(scope='session')
def tiny_shapes(tmp_path_factory):
    """Folder of a generated set of 8 training and 4 validation images of 64x64."""
    from mmdet_frn.datasets import write_shapes

    return write_shapes(tmp_path_factory.mktemp('data') / 'shapes', 8, 4, 64)
