"""tools/train.py and tools/test.py as a user runs them, at tiny size."""

import pickle

import pytest
import torch
from mmdet.apis import DetInferencer
from warm_process import run_script

from mmdet_frn.engine.checkpoint import safe_checkpoints

CONFIG = 'configs/shapes/retinanet_r18-w32_fpn_frn-all_1xb2-1k_shapes-128.py'


def error_of(done):
    """Return the one line that a refused command prints."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert 'Traceback' not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    return line


@pytest.fixture(scope='module')
def settings(tiny_shapes, tiny_options):
    root = f'{tiny_shapes}/'
    given = {
        **tiny_options,
        'train_cfg.max_iters': 4,
        'train_cfg.val_interval': 4,
        'default_hooks.checkpoint.interval': 2,
        'optim_wrapper.optimizer.lr': 1e-5,
        'val_evaluator.ann_file': f'{root}annotations/instances_val.json',
        'test_evaluator.ann_file': f'{root}annotations/instances_val.json',
        **{f'{split}_dataloader.dataset.data_root': root for split in ('train', 'val', 'test')},
    }
    return ['--cfg-options', *(f'{k}={str(v).replace(" ", "")}' for k, v in given.items())]


@pytest.mark.slow
def test_train_test_resume_and_a_second_run(settings, tiny_shapes, tmp_path):
    work = tmp_path / 'work'
    # As a job that a scheduler restarts.
    done = run_script('tools/train.py', CONFIG, '--work-dir', work, '--resume', *settings)
    assert done.returncode == 0, done.stderr
    assert f'--resume: {work} has no checkpoint; training starts from scratch' in done.stdout
    assert {p.name for p in work.glob('*.pth')} == {'iter_2.pth', 'iter_4.pth'}
    kept = {p: p.read_bytes() for p in work.glob('*.pth')}

    again = run_script('tools/train.py', CONFIG, '--work-dir', work, *settings)
    assert 'holds checkpoints of an earlier run (iter_4.pth)' in error_of(again)
    assert {p: p.read_bytes() for p in work.glob('*.pth')} == kept

    longer = [*settings, 'train_cfg.max_iters=6']
    resumed = run_script('tools/train.py', CONFIG, '--work-dir', work, '--resume', *longer)
    assert resumed.returncode == 0, resumed.stderr
    assert 'iter: 4' in resumed.stdout + resumed.stderr
    assert (work / 'iter_6.pth').is_file()

    out = tmp_path / 'out.pkl'
    tested = run_script(
        *('tools/test.py', CONFIG, work / 'iter_6.pth', '--work-dir', tmp_path / 'test'),
        *('--out', out, '--show-dir', 'shown', *settings),
    )
    assert tested.returncode == 0, tested.stderr
    with out.open('rb') as file:
        assert len(pickle.load(file)) == 4
    assert len(list((tmp_path / 'test').glob('*/shown/*.png'))) == 4
    check_inferencer(work, tiny_shapes / 'val', tmp_path)


def check_inferencer(work, images, folder):
    """MMDetection's own inference: a config and a checkpoint, and a checkpoint alone."""
    config, weights = str(next(work.glob('*.py'))), str(work / 'iter_6.pth')
    with safe_checkpoints():
        inferencers = {
            'both': DetInferencer(config, weights, device='cpu'),
            'alone': DetInferencer(weights=weights, device='cpu'),
        }
    for name, inferencer in inferencers.items():
        out = folder / name
        inferencer(str(images), out_dir=str(out), no_save_pred=False)
        assert len(list(out.glob('preds/*.json'))) == 4
        assert len(list(out.glob('vis/*.png'))) == len(list(images.iterdir())) == 4
    both, alone = (inferencer.model for inferencer in inferencers.values())
    assert both.dataset_meta['classes'] == alone.dataset_meta['classes']
    for weight, same in zip(both.parameters(), alone.parameters(), strict=True):
        assert torch.equal(weight, same)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ('train_dataloader.dataset.ann_file=annotations/none.json', 'none.json'),
        ('train_dataloader.dataset.data_prefix.img=nowhere/', 'nowhere'),
        ('train_dataloader.dataset.metainfo.classes=[circle,unicorn]', 'unicorn'),
        ('model.bbox_head.num_classes=7', 'num_classes'),
    ],
)
def test_bad_data_is_one_line_before_anything_is_written(change, message, settings, tmp_path):
    done = run_script('tools/train.py', CONFIG, '--work-dir', tmp_path / 'work', *settings, change)
    assert message in error_of(done)
    assert not (tmp_path / 'work').exists()


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (('tools/train.py', CONFIG.replace('frn', 'fnr')), 'does not exist; did you mean'),
        (('tools/train.py', CONFIG, '--resume', 'no.pth'), 'checkpoint no.pth does not exist'),
        pytest.param(
            ('tools/train.py', CONFIG, '--amp'),
            '--amp needs a GPU',
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU'),
        ),
        (('tools/test.py', CONFIG, 'no.pth'), 'checkpoint no.pth does not exist'),
        (('tools/test.py', CONFIG, 'setup.py', '--out', 'a.txt'), '--out must name a .pkl'),
    ],
)
def test_wrong_arguments_are_one_line(args, message):
    assert message in error_of(run_script(*args))
