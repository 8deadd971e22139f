from pathlib import Path

import pytest

from mmdet_frn.datasets import write_shapes


@pytest.fixture(scope='session')
def shapes(tmp_path_factory) -> Path:
    """A generated set of 26 training images, the 25th without objects, and 4 others."""
    return write_shapes(tmp_path_factory.mktemp('data') / 'shapes', 26, 4, image_size=(64, 96))
