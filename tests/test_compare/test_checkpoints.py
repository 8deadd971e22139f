"""Which checkpoint a killed run goes on from."""

import torch

from mmdet_frn.compare.checkpoints import newest_checkpoint
from mmdet_frn.compare.scalars import read_scalars


def test_the_newest_whole_checkpoint_is_found(tmp_path):
    assert newest_checkpoint(tmp_path) is None
    for step in (90, 100):
        torch.save({'step': step}, tmp_path / f'iter_{step}.pth')
    whole = (tmp_path / 'iter_100.pth').read_bytes()
    # Killed while writing: half a file, and an empty last_checkpoint.
    (tmp_path / 'iter_110.pth').write_bytes(whole[: len(whole) // 2])
    (tmp_path / 'last_checkpoint').write_text('')
    (tmp_path / 'best_coco_bbox_mAP_iter_200.pth').write_bytes(whole)
    assert newest_checkpoint(tmp_path) == tmp_path / 'iter_100.pth'


def test_scalars_of_a_resumed_run_replace_those_it_repeats(tmp_path):
    runs = {
        '20260101_000000': '{"loss": 3, "step": 10}\n{"loss": 2, "step": 20}\n{"loss": 1, "st',
        '20260102_000000': '{"loss": 5, "step": 20}\n{"coco/bbox_mAP": 0.5, "step": 20}\n',
    }
    for run, text in runs.items():
        folder = tmp_path / run / 'vis_data'
        folder.mkdir(parents=True)
        (folder / 'scalars.json').write_text(text)
    train, val = read_scalars(tmp_path)
    assert {step: record['loss'] for step, record in train.items()} == {10: 3, 20: 5}
    assert val[20]['coco/bbox_mAP'] == 0.5
