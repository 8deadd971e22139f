"""The whole-model benchmark on a detector of a few channels."""

import pytest
import torch

from benchmarks.steps import Step, measure_steps, to_markdown
from mmdet_frn import ops
from mmdet_frn.utils.config import load_config

CONFIG = 'configs/shapes/retinanet_r18-w32_fpn_{}-all_1xb2-1k_shapes-128.py'
CPU = torch.device('cpu')


def configs(request, options, **norms):
    root = request.config.rootpath
    return {name: load_config(root / CONFIG.format(norm), options) for name, norm in norms.items()}


def test_times_every_detector(request, tiny_options):
    if not ops.is_compiled():
        pytest.skip('compiled library absent')
    names = {'BN': 'bn', 'FRN fused': 'frn', 'FRN reference': 'frn'}
    steps = measure_steps(configs(request, tiny_options, **names), CPU, 64, 2, rounds=2)
    assert [step.name for step in steps] == list(names)
    assert not [step.problem for step in steps if step.problem]
    assert all(step.samples == 2 and step.median_us > 0 for step in steps)
    fused, reference = steps[1], steps[2]
    assert fused.peak_megabytes < reference.peak_megabytes  # the reference keeps what it computes
    assert ops.library.has_kernels('cpu')  # as before


def test_a_detector_that_fails_has_no_figure_and_a_reason(request, tiny_options):
    broken = tiny_options | {'model.neck.in_channels': [1, 1, 1]}
    (step,) = measure_steps(configs(request, broken, BN='bn'), CPU, 64, 1, rounds=1)
    assert step.median_us is None
    assert 'RuntimeError' in step.problem


def test_table():
    text = to_markdown([
        Step('BN', 2e6, 1.9e6, 2.1e6, 3, 100.0),
        Step('FRN fused', 1e6, 0.9e6, 1.1e6, 3, 80.0),
        Step('GN', problem='RuntimeError: no memory'),
    ])  # fmt: skip
    assert '| FRN fused | 1000 | 900 to 1100 | 0.50 | 80 |' in text
    assert '| GN | - | - | - | - |' in text
    assert text.endswith('GN: RuntimeError: no memory')
