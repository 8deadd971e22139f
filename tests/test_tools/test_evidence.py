"""The evidence protocol: its plan, without training."""

import re
from pathlib import Path

from warm_process import run_script

ROOT = Path(__file__).resolve().parents[2]
# Number, norm, images a step, seed, base learning rate, learning rate.
ROW = re.compile(r'^ *\d+ +(\S.*?) +(\d) +(\d+(?:, fold \d)?) +(\S+) +(\S+) +\d+ ', re.MULTILINE)


def plan(*args):
    done = run_script('tools/evidence.py', '--plan', *args)
    assert done.returncode == 0, done.stderr
    assert re.search(r'Left: \S+ GPU-hours, \S+ days \(\d+:\d\d:\d\d\)', done.stdout)
    return ROW.findall(done.stdout)


def test_four_rates_for_each_detector_then_six_seeds(tmp_path):
    rows = plan('--work-dir', tmp_path, '--steps', 4)
    norms = ['BN', 'GN', 'GN+TLU', 'FRN (tau 0)', 'FRN (tau -0.5)', 'FRN (tau -1)', 'FRN+ConvWS']
    searched, final = rows[:84], rows[84:]
    assert sorted(searched) == sorted(
        (norm, '2', seed, rate, rate)
        for norm in norms
        for rate in ('0.0005', '0.001', '0.002', '0.004')
        for seed in ('100', '101', '102')
    )
    assert [row[:3] for row in final] == [(norm, '2', str(s)) for norm in norms for s in range(6)]


def test_folds_of_a_users_images_at_four_batch_sizes(tiny_shapes, tmp_path):
    config = ROOT / 'configs/shapes/retinanet_r18-w32_fpn_bn-all_1xb2-1k_shapes-128.py'
    copy = tmp_path / 'detector_frn-tau-05_shapes.py'
    copy.write_text(f'_base_ = {str(config)!r}')
    small = ('--steps', 8, '--search-seeds', 1)
    rows = plan(copy, '--data', tiny_shapes, '--work-dir', tmp_path / 'out', *small)
    assert [(images, seed) for _, images, seed, _, _ in rows if seed != '100'] == [
        (images, f'0, fold {fold}') for images in '2841' for fold in range(5)
    ]
    assert (tmp_path / 'out/search_data/annotations/val.json').is_file()
