"""tools/convert.py: what it writes, that MMDetection takes it, and its errors."""

import sys

import pytest
import torch
from conversion import randomize
from mmdet.apis import DetInferencer
from mmengine.config import Config
from mmengine.runner import Runner

from mmdet_frn.convert.agreement import TOLERANCE, choose_kappa
from mmdet_frn.convert.checkpoint import convert_checkpoint
from mmdet_frn.convert.config import build_detector
from mmdet_frn.convert.report import Agreement
from mmdet_frn.utils.config import load_config
from mmdet_frn.utils.errors import UsageError
from tools.convert import main


@pytest.fixture
def config(tiny_config, tiny_shapes, tmp_path, monkeypatch):
    """Config file of a tiny BN detector, its data, and bn.pth beside it."""
    monkeypatch.setenv('MMDET_FRN_DATA_ROOT', str(tiny_shapes.parent))
    cfg = tiny_config('bn', {'optim_wrapper.optimizer.lr': 0.03})
    cfg.dump(tmp_path / 'bn.py')
    torch.manual_seed(0)
    model = randomize(build_detector(cfg))
    meta = {'dataset_meta': {'classes': ('a', 'b', 'c', 'd')}}
    torch.save({'state_dict': model.state_dict(), 'meta': meta}, tmp_path / 'bn.pth')
    return tmp_path / 'bn.py'


@pytest.fixture
def run(monkeypatch, capsys):
    """Run tools/convert.py in this process: its exit status, what it printed, and its errors."""

    def run(*args):
        monkeypatch.setattr(sys, 'argv', ['convert.py', *map(str, args)])
        try:
            main()
            status = 0
        except SystemExit as end:
            status = end.code
        out, err = capsys.readouterr()
        return status, out, err

    return run


def test_what_it_writes_is_taken_by_test_and_inferencer(config, tmp_path, tiny_shapes):
    result = convert_checkpoint(
        load_config(config), tmp_path / 'bn.pth', tmp_path / 'out', act_cfg={'type': 'TLU'}, kappa=3
    )
    cfg = Config.fromfile(result.config)
    assert cfg.load_from == str(result.checkpoint)
    cfg.work_dir = str(tmp_path / 'work')
    assert 'coco/bbox_mAP' in Runner.from_cfg(cfg).test()
    inferencer = DetInferencer(str(result.config), str(result.checkpoint), device='cpu')
    assert inferencer.visualizer.dataset_meta['classes'] == ('a', 'b', 'c', 'd')
    image = next((tiny_shapes / 'val').iterdir())
    assert inferencer(str(image), no_save_vis=True)['predictions']


def test_kappa_is_calibrated_on_images_without_labels(config, tmp_path):
    result = convert_checkpoint(
        load_config(config), tmp_path / 'bn.pth', tmp_path / 'out', calibrate=2
    )
    differences = [a.difference for a in result.report.agreements]
    assert differences == sorted(differences, reverse=True)
    assert result.report.kappa == choose_kappa(result.report.agreements)
    assert result.report.variation


def test_the_smallest_kappa_within_the_tolerance_is_chosen():
    found = [Agreement(0, 2 * TOLERANCE), Agreement(3, TOLERANCE), Agreement(10, 0.0)]
    assert choose_kappa(found) == 3
    assert choose_kappa(found[:1]) == 0


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda s: s.pop('backbone.bn1.bias'), '1 missing: backbone.bn1.bias'),
        (lambda s: s.update(extra=s['backbone.bn1.bias']), '1 unknown to the config: extra'),
        (
            lambda s: s.update({'backbone.bn1.bias': torch.zeros(1)}),
            '1 of another shape: backbone.bn1.bias',
        ),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_by_its_keys(config, tmp_path, change, message):
    found = torch.load(tmp_path / 'bn.pth')
    change(found['state_dict'])
    torch.save(found, tmp_path / 'bn.pth')
    with pytest.raises(UsageError, match=message):
        convert_checkpoint(load_config(config), tmp_path / 'bn.pth', tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_command_prints_the_report_and_refuses_a_second_run(config, tmp_path, run):
    args = (config, tmp_path / 'bn.pth', '--act', 'TLU', '--kappa', '3', '-o', tmp_path / 'out')
    status, out, _ = run(*args)
    assert status == 0
    assert 'BatchNorm2d -> FRN' in out
    assert 'fine-tune with a tenth of the learning rate: optim_wrapper.optimizer.lr=0.003' in out
    status, _, err = run(*args)
    assert status == 2
    assert 'bn_to-frn.py exists already; remove it or name another folder' in err
    status, _, err = run(tmp_path / 'out/bn_to-frn.py', '-o', tmp_path / 'twice')
    assert status == 2
    assert 'converted detector already' in err


def test_ctrl_c_leaves_whole_files_or_none(config, tmp_path, run, monkeypatch):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    args = (config, tmp_path / 'bn.pth', '--evaluate', '-o', tmp_path / 'out')
    with monkeypatch.context() as patch:
        patch.setattr('mmdet_frn.utils.files.os.fsync', stop)
        status, _, err = run(*args)
    assert status == 130
    assert 'stopped; run the same command again' in err
    assert list((tmp_path / 'out').iterdir()) == []
    monkeypatch.setattr('tools.convert.evaluate_detector', stop)
    status, _, err = run(*args)
    assert status == 130
    assert 'the converted files are complete' in err
    assert sorted(p.name for p in (tmp_path / 'out').iterdir()) == ['bn_to-frn.pth', 'bn_to-frn.py']


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['--kappa', '1', '--calibrate', '2'], 'leave out --kappa or --calibrate'),
        (['--norm', 'Nope'], '--norm must be one of GN'),
        (['--norm', 'LN', '--kappa', '2'], 'kappa must be 0'),
        (['--norm', 'GN'], 'does not fit backbone.bn1'),
        (['--kappa', '-1'], 'kappa must be >= 0, got -1'),
    ],
)
def test_wrong_options_end_in_one_line(config, tmp_path, run, args, message):
    status, _, err = run(config, tmp_path / 'bn.pth', '-o', tmp_path / 'out', *args)
    assert status == 2
    assert message in err
    assert not (tmp_path / 'out').exists()
