"""What train_detector refuses before it trains."""

import pytest
from helpers import SHAPES_CONFIG as CONFIG

from mmdet_frn.engine.train import train_detector
from mmdet_frn.utils.errors import UsageError
from mmdet_frn.utils.lock import locked

ABLATIONS = CONFIG.parents[1] / 'ablations'


@pytest.mark.parametrize('resume', [None, 'auto'])
def test_two_trainings_do_not_share_a_work_directory(resume, options, tmp_path):
    work = tmp_path / 'work'
    with locked(work / '.lock', 'busy'), pytest.raises(UsageError) as error:
        train_detector(CONFIG, work_dir=str(work), options=options, resume=resume)
    assert str(error.value) == (
        f'another run is training in {work}; wait for it or name another --work-dir'
    )
    assert [path.name for path in work.iterdir()] == ['.lock']


def test_a_work_directory_with_checkpoints_is_not_written_into(options, tmp_path):
    (tmp_path / 'iter_2.pth').touch()
    with pytest.raises(UsageError, match=r'holds checkpoints of an earlier run \(iter_2\.pth\)'):
        train_detector(CONFIG, work_dir=str(tmp_path), options=options)


def test_a_missing_load_from_is_one_line(options, tmp_path):
    options['load_from'] = 'none.pth'
    with pytest.raises(UsageError, match=r'^load_from: checkpoint none\.pth does not exist$'):
        train_detector(CONFIG, work_dir=str(tmp_path), options=options)


def test_a_loss_that_is_no_number_stops_the_run_with_its_step(options, tmp_path):
    options |= {'optim_wrapper.optimizer.lr': 1e30, 'param_scheduler': []}
    with pytest.raises(UsageError, match=r'loss.* is (nan|inf) at iteration [23] of 1000; lower'):
        train_detector(CONFIG, work_dir=str(tmp_path), options=options)
    assert not list(tmp_path.glob('*.pth'))


def test_a_norm_decay_mult_that_is_ignored_is_logged_once(options, tmp_path):
    options |= {'optim_wrapper.paramwise_cfg.norm_decay_mult': 0.0, 'param_scheduler': []}
    options['optim_wrapper.optimizer.lr'] = 1e30  # stops it
    with pytest.raises(UsageError, match=r'is (nan|inf) at iteration'):
        train_detector(CONFIG, work_dir=str(tmp_path), options=options)
    (log,) = tmp_path.glob('*/*.log')
    warning = 'norm_decay_mult=0.0 is ignored for FRN, TLU: MMEngine recognises'
    assert log.read_text(encoding='utf-8').count(warning) == 1


def test_a_slip_in_an_option_is_one_line_before_anything_is_written(options, tmp_path):
    options['train_cfg.max_itres'] = 5
    with pytest.raises(UsageError, match=r'did you mean max_iters\?$'):
        train_detector(CONFIG, work_dir=str(tmp_path / 'work'), options=options)
    assert not (tmp_path / 'work').exists()


@pytest.mark.parametrize(
    ('config', 'wrapper'),
    [
        (CONFIG, 'AmpOptimWrapper'),
        ('retinanet_r18-w32_fpn_bn-precise_1xb2-1k', 'AmpOptimWrapper'),
        ('retinanet_r18-w32_fpn_nf-resnet-agc_1xb2-1k', 'AmpAGCOptimWrapper'),
    ],
)
def test_amp_keeps_adaptive_clipping(config, wrapper, options, tmp_path, monkeypatch):
    monkeypatch.setattr('mmdet_frn.engine.train.get_device', lambda: 'cuda')

    def stop(cfg):
        raise RuntimeError(cfg.optim_wrapper.type)

    monkeypatch.setattr('mmdet_frn.engine.train.Runner.from_cfg', stop)
    path = CONFIG if config == CONFIG else ABLATIONS / f'{config}_shapes-128.py'
    with pytest.raises(RuntimeError, match=f'^{wrapper}$'):
        train_detector(path, work_dir=str(tmp_path), options=options, amp=True)
