"""What a training leaves behind, whole or damaged, read into rows."""

import json

import pytest
import torch

from mmdet_frn.experiments.progress import LogTail
from mmdet_frn.experiments.report import Output, Report
from mmdet_frn.experiments.results import is_finished, read_rows, read_scalars, write_result
from mmdet_frn.experiments.train_run import newest_checkpoint


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


@pytest.fixture
def log(tmp_path):
    """Return a function that appends to the log of a session."""

    def append(session, text):
        path = tmp_path / session / 'vis_data' / 'scalars.json'
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open('a') as file:
            file.write(text)

    return append


def test_scalars_of_a_resumed_run_replace_those_it_repeats(log, tmp_path):
    log('20260101_000000', '{"loss": 3, "step": 10}\n{"loss": 2, "step": 20}\n{"loss": 1, "st')
    log('20260102_000000', '{"loss": 5, "step": 20}\n{"coco/bbox_mAP": 0.5, "step": 20}\n')
    train, val = read_scalars(tmp_path)
    assert {step: record['loss'] for step, record in train.items()} == {10: 3, 20: 5}
    assert val[20]['coco/bbox_mAP'] == 0.5


@pytest.mark.parametrize('line', ['{"loss": 1}', '[]', '7', '{"loss": 1, "step": null}', '\x00'])
def test_a_line_that_is_no_record_is_left_out(log, tmp_path, line):
    log('20260101_000000', f'{{"loss": 3, "step": 10}}\n{line}\n{{"loss": 2, "step": 20}}\n')
    assert list(read_scalars(tmp_path)[0]) == [10, 20]


def test_watching_a_run_reads_only_what_was_appended(log, tmp_path, monkeypatch):
    tail = LogTail(tmp_path)
    assert tail.iteration() == 0
    log('20260101_000000', '{"loss": 3, "step": 10}\n{"coco/bbox_mAP": 0, "step": 99}\n{"loss": ')
    assert tail.iteration() == 10
    parsed = []
    parse = 'mmdet_frn.experiments.progress.parse_record'
    monkeypatch.setattr(parse, lambda line: parsed.append(line) or json.loads(line))
    log('20260101_000000', '2, "step": 20}\n')
    assert tail.iteration() == 20
    # A later session starts again from a checkpoint.
    log('20260102_000000', '{"loss": 2, "step": 15}\n')
    assert tail.iteration() == 20
    assert tail.iteration() == 20
    assert parsed == ['{"loss": 2, "step": 20}', '{"loss": 2, "step": 15}']


def test_a_result_needs_no_checkpoint(make_run):
    run = make_run('FRN', 8)
    write_result(run.folder, {'coco/bbox_mAP': 0.4}, newest_checkpoint(run.folder))
    (row,) = read_rows([run])
    assert row.percent('AP') == 40


@pytest.mark.parametrize('content', ['', '{', '[]', '{"metrics": {}}', '{"metrics": null}'])
def test_a_damaged_result_costs_its_own_run_alone(make_run, tmp_path, content):
    good, bad = make_run('BN', 8, ap=0.3), make_run('FRN', 8, ap=0.4)
    (bad.folder / 'result.json').write_text(content)
    report = Report(read_rows([good, bad]), Output(samples=10))
    text = report.text()
    assert 'BN' in text
    assert '30.0' in text
    assert '- FRN, 8 images/GPU, base lr 0.05, seed 0: unreadable: result.json' in text
    assert report.write(tmp_path / 'report')[0].is_file()
    # And is made again by the next run.
    assert is_finished(good)
    assert not is_finished(bad)


@pytest.mark.parametrize('content', [None, '', '{', '{}', '[1]', '[{"image_id": 1}]'])
def test_damaged_predictions_keep_the_run_in_the_table(make_run, tmp_path, content):
    run = make_run('FRN', 8, ap=0.4)
    if content is not None:
        (run.folder / 'predictions.bbox.json').write_text(content)
    report = Report(read_rows([run]), Output(samples=10))
    text = report.text()
    assert '40.0' in text
    page = report.write(tmp_path / 'report')[0].read_text()
    assert '| FRN | 40.0 |' in page
    assert page.count('- FRN, 8 images/GPU, base lr 0.05, seed 0: unreadable: predictions') == 1
