"""The table of norms: labels of configs, a config's norm in one line, and the docs page."""

from pathlib import Path

import pytest
from mmengine.config import Config
from torch import nn

from benchmarks.costs import columns
from mmdet_frn.layers import FRN
from mmdet_frn.norms import ACTS, CONVS, NORMS, Norm, add_norm, find_norm, norm_label, use_norm
from mmdet_frn.norms.table import TAU_INIT
from mmdet_frn.ops import is_compiled

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'norms.md'


def cells(line):
    return [cell.strip() for cell in line.strip('|\n ').split('|')]


def page_rows(first_column):
    """Cells of the lines of the page's table that has ``first_column``."""
    lines = PAGE.read_text(encoding='utf-8').splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f'| {first_column} |'))
    found = []
    for line in lines[start + 2 :]:
        if not line.startswith('|'):
            break
        found.append(cells(line))
    return found


def test_labels_are_unique():
    labels = [row.label for row in NORMS]
    assert len(labels) == len(set(labels))


def test_the_page_has_a_line_for_each_row_with_its_type_activation_and_batch():
    lines = {cell[0]: cell for cell in page_rows('label')}
    assert list(lines) == [row.label for row in NORMS]
    for row in NORMS:
        _, norm_cfg, act_cfg, _, batch, *_ = lines[row.label]
        assert norm_cfg.startswith(f'`{row.norm_cfg["type"]}`')
        assert act_cfg == f'`{row.act_cfg["type"]}`'
        assert batch == ('yes' if row.uses_batch else 'no')


def test_every_line_of_the_page_is_complete():
    for line in page_rows('label'):
        assert len(line) == 7
        assert all(line), line[0]


def test_the_page_has_every_norm_with_its_measured_costs_and_a_use():
    if not is_compiled():
        pytest.skip('the page has what the compiled ops keep for the backward pass')
    lines = {cell[0]: cell[1:] for cell in page_rows('norm')}
    assert list(lines) == [row.label for row in NORMS]
    for row in NORMS:
        kept, time, published, use = lines[row.label]
        assert (kept, time) == columns(row), f'{row.label}: python -m benchmarks.costs'
        assert published
        assert use


def test_the_page_has_a_line_for_each_activation():
    assert [cell[0] for cell in page_rows('type')] == [f'`{act.label}`' for act in ACTS]


def test_the_page_has_a_line_for_each_convolution():
    assert [cell[0] for cell in page_rows('conv_cfg')] == [f'`{conv.label}`' for conv in CONVS]


@pytest.mark.parametrize(
    ('backbone', 'label'),
    [
        ({}, 'BN'),
        ({'norm_cfg': {'type': 'GN', 'num_groups': 16}}, 'GN'),
        ({'norm_cfg': {'type': 'GN', 'num_groups': 1}}, 'LN'),
        ({'norm_cfg': {'type': FRN}, 'act_cfg': {'type': 'TLU'}}, 'FRN'),
        ({'norm_cfg': {'type': 'FRN', 'eps': 1e-3}, 'act_cfg': {'type': 'TLU'}}, 'FRN'),
        ({'norm_cfg': {'type': 'FRN', 'learnable_eps': True}}, 'FRN learned eps+ReLU'),
        ({'norm_cfg': {'type': 'LN2d'}, 'act_cfg': {'type': nn.SiLU}}, 'LN2d+SiLU'),
        ({'norm_cfg': {'type': 'GN'}, 'conv_cfg': {'type': 'ConvWS'}}, 'GN+ConvWS'),
        ({'norm_cfg': {'type': 'NoNorm'}, 'skip_init': True}, 'NoNorm+SkipInit'),
        ({'type': 'NFResNet', 'conv_cfg': {'type': 'ScaledWSConv'}}, 'NF-ResNet'),
        ({'init_cfg': {'type': 'Pretrained'}}, 'BN*'),
    ],
)
def test_a_label_names_norm_activation_and_weights(backbone, label):
    assert norm_label(Config({'model': {'backbone': backbone}})) == label


def test_a_config_with_the_rows_norm_has_the_rows_label():
    for row in NORMS:
        model = use_norm(row.label)
        assert norm_label(Config({'model': model})) == row.label


def test_use_norm_replaces_what_the_base_has(tmp_path):
    frn = {'norm_cfg': {'type': 'FRN', 'eps': 1e-6}, 'act_cfg': {'type': 'TLU', 'init': TAU_INIT}}
    base = {'model': dict.fromkeys(('backbone', 'neck', 'bbox_head'), frn)}
    Config(base).dump(tmp_path / 'base.py')
    (tmp_path / 'child.py').write_text(
        "_base_ = './base.py'\nfrom mmdet_frn.norms import use_norm\nmodel = use_norm('GN')\n"
    )
    model = Config.fromfile(tmp_path / 'child.py').model
    for part in ('backbone', 'neck', 'bbox_head'):
        assert model[part] == {
            'norm_cfg': {'type': 'GN', 'num_groups': 32},
            'act_cfg': {'type': 'ReLU'},
        }


def test_use_norm_takes_arguments_and_another_activation():
    model = use_norm('FRN', {'type': 'ReLU'}, neck_act=False, eps=1e-3)
    assert model['backbone']['norm_cfg']['eps'] == 1e-3
    assert model['bbox_head']['act_cfg']['type'] == 'ReLU'
    assert 'act_cfg' not in model['neck']
    assert find_norm({'type': 'FRN'}).norm_cfg['eps'] == 1e-6


def test_an_unknown_or_taken_label_is_named():
    with pytest.raises(ValueError, match="no norm has the label 'XN'; known: "):
        use_norm('XN')
    with pytest.raises(ValueError, match="label 'BN' is taken; choose another"):
        add_norm(Norm('BN', {'type': 'BN'}, ''))
