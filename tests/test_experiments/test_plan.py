"""Which runs an experiment has, and what each trains."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mmdet_frn.datasets import write_shapes
from mmdet_frn.experiments.main import plan_comparison
from mmdet_frn.experiments.plan import Setup, find_runs
from mmdet_frn.experiments.runs import IDENTITY, load_run_config, prepare_folder
from mmdet_frn.utils.errors import UsageError

CONFIGS = [
    f'configs/shapes/retinanet_r18-w32_fpn_{norm}-all_1xb2-1k_shapes-128.py'
    for norm in ('bn', 'gn', 'frn')
]


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch, request):
    monkeypatch.chdir(request.config.rootpath)


def test_runs_are_the_product_column_by_column(tmp_path):
    runs = plan_comparison(CONFIGS, [4, 2], tmp_path, Setup(seeds=[0, 1]))
    assert [(r.images_per_gpu, r.norm, r.seed) for r in runs] == [
        (images, norm, seed) for images in (4, 2) for norm in ('BN', 'GN', 'FRN') for seed in (0, 1)
    ]
    assert len({run.folder for run in runs}) == len(runs)
    for run in runs:
        assert run.cfg.train_dataloader.batch_size == run.images_per_gpu
        assert run.cfg.randomness.seed == run.seed
        assert run.cfg.work_dir == str(run.folder)
    by_images = {run.images_per_gpu: run for run in runs}
    assert by_images[2].steps == 2 * by_images[4].steps


def test_steps_are_those_at_the_configs_own_batch_size(tmp_path):
    runs = plan_comparison(CONFIGS[:1], [4, 2, 1], tmp_path, Setup(steps=100))
    assert [run.steps for run in runs] == [50, 100, 200]
    assert [run.cfg.param_scheduler[-1].end for run in runs] == [50, 100, 200]


def test_data_replaces_the_datasets_and_the_number_of_classes(tmp_path, tiny_shapes):
    (run,) = plan_comparison(CONFIGS[:1], [2], tmp_path, Setup(data=tiny_shapes))
    assert run.cfg.train_dataloader.dataset.ann_file.startswith(str(tiny_shapes))
    assert run.cfg.val_evaluator.ann_file == run.cfg.test_dataloader.dataset.ann_file
    classes = run.cfg.val_dataloader.dataset.metainfo.classes
    assert run.cfg.model.bbox_head.num_classes == len(classes)


def test_rows_of_one_norm_are_told_apart_by_where_tau_starts(tmp_path):
    paths = [CONFIGS[0], CONFIGS[2]]
    for init in (0, -0.5):
        other = tmp_path / f'frn_{init}.py'
        act_cfg = f"dict(type='TLU', init={init})"
        base = Path(CONFIGS[2]).resolve()
        other.write_text(f"_base_ = '{base}'\nmodel = dict(backbone=dict(act_cfg={act_cfg}))\n")
        paths.append(other)
    runs = plan_comparison(paths[:3], [2], tmp_path, Setup())
    assert [r.norm for r in runs][::2] == ['BN', 'FRN (tau 0)']
    assert plan_comparison(paths[:2], [2], tmp_path, Setup())[1].norm == 'FRN'
    runs = plan_comparison(paths[2:], [4, 2], tmp_path, Setup())
    assert [r.norm for r in runs] == 2 * ['FRN (tau 0)', 'FRN (tau -0.5)']


def test_rows_of_one_norm_are_told_apart_by_their_configs(tmp_path):
    other = tmp_path / 'wider_bn.py'
    other.write_text(f"_base_ = '{Path(CONFIGS[0]).resolve()}'\n")
    runs = plan_comparison([CONFIGS[0], other], [2], tmp_path, Setup())
    assert [r.norm for r in runs] == [
        'BN (retinanet_r18-w32_fpn_bn-all_1xb2-1k_shapes-128)',
        'BN (wider_bn)',
    ]


def test_wrong_arguments_are_named(tmp_path):
    with pytest.raises(UsageError, match='two configs are called'):
        plan_comparison([CONFIGS[0], CONFIGS[0]], [2], tmp_path, Setup())
    with pytest.raises(UsageError, match=r'frn-al_1xb2-1k_shapes-128.py does not exist; did you'):
        plan_comparison([CONFIGS[2].replace('all', 'al')], [2], tmp_path, Setup())
    with pytest.raises(UsageError, match='--steps must be >= 1, got 0'):
        plan_comparison(CONFIGS, [2], tmp_path, Setup(steps=0))
    broken = tmp_path / 'broken.py'
    broken.write_text('model = dict(\n')
    with pytest.raises(UsageError, match=r'broken.py cannot be loaded: SyntaxError'):
        plan_comparison([broken], [2], tmp_path, Setup())


def test_a_folder_of_other_settings_is_refused_and_kept(tmp_path):
    (run,) = plan_comparison(CONFIGS[:1], [2], tmp_path, Setup())
    prepare_folder(run)
    prepare_folder(run)
    kept = {path: path.read_bytes() for path in run.folder.iterdir()}
    (other,) = plan_comparison(
        CONFIGS[:1], [2], tmp_path, Setup(options={'optim_wrapper.optimizer.lr': 1.0})
    )
    with pytest.raises(UsageError, match='holds results of other settings'):
        prepare_folder(other)
    assert {path: path.read_bytes() for path in run.folder.iterdir()} == kept


def test_a_work_directory_may_be_moved(tmp_path):
    (run,) = plan_comparison(CONFIGS[:1], [2], tmp_path / 'a', Setup())
    prepare_folder(run)
    (tmp_path / 'a').rename(tmp_path / 'b')
    (moved,) = plan_comparison(CONFIGS[:1], [2], tmp_path / 'b', Setup())
    prepare_folder(moved)


@pytest.mark.parametrize(
    'name',
    [
        '{{ fileBasename }}',
        """{{$NOPE_V:a|\\',exec("open('executed', 'w')"),#"}}""",
        "'); open('executed', 'w') #",
    ],
)
def test_no_class_name_is_evaluated(tmp_path, monkeypatch, name):
    data = write_shapes(tmp_path / 'shapes', 2, 2, 64)
    for path in (data / 'annotations').glob('*.json'):
        content = json.loads(path.read_text())
        content['categories'][0]['name'] = name
        path.write_text(json.dumps(content))
    (run,) = plan_comparison(CONFIGS[:1], [2], tmp_path / 'work', Setup(data=data))
    prepare_folder(run)
    monkeypatch.chdir(tmp_path)
    cfg = load_run_config(run.folder / IDENTITY)
    assert not (tmp_path / 'executed').exists()
    assert cfg.train_dataloader.dataset.metainfo.classes[0] == name
    # Nothing that a tool could evaluate as a config.
    assert not list(run.folder.glob('*.py'))


def test_the_config_that_a_run_keeps_is_the_one_planned(tmp_path):
    (run,) = plan_comparison(CONFIGS[:1], [2], tmp_path, Setup())
    prepare_folder(run)
    expected = run.cfg.to_dict()
    expected.pop('work_dir')
    # With tuples as tuples: MMCV takes a list for a scale as an error.
    assert repr(load_run_config(run.folder / IDENTITY).to_dict()) == repr(
        dict(sorted_deep(expected))
    )


def sorted_deep(value):
    if isinstance(value, dict):
        return {key: sorted_deep(value[key]) for key in sorted(value)}
    return type(value)(map(sorted_deep, value)) if isinstance(value, (list, tuple)) else value


def test_results_of_other_annotations_at_the_same_path_are_refused(tmp_path):
    data = write_shapes(tmp_path / 'shapes', 2, 2, 64)
    (run,) = plan_comparison(CONFIGS[:1], [2], tmp_path / 'work', Setup(data=data))
    prepare_folder(run)
    path = data / 'annotations' / 'instances_val.json'
    content = json.loads(path.read_text())
    content['annotations'][0]['bbox'][2] += 1
    path.write_text(json.dumps(content))
    with pytest.raises(UsageError, match=r'other settings .*annotations\..*instances_val\.json'):
        prepare_folder(run)


def test_folds_make_every_image_a_test_image_once(tmp_path, tiny_shapes):
    setup = Setup(data=tiny_shapes, folds=3, seeds=[0, 1])
    runs = plan_comparison(CONFIGS[2:], [2], tmp_path, setup)
    assert [(run.seed, run.fold) for run in runs] == [(s, k) for s in (0, 1) for k in range(3)]
    assert len({run.folder for run in runs}) == 6
    tested = [
        i['id'] for run in runs[:3] for i in json.loads(run.annotations.read_text())['images']
    ]
    assert sorted(tested) == list(range(1, 13))
    with pytest.raises(UsageError, match='--folds splits the images of a COCO-format folder'):
        Setup(folds=3)


def test_runs_are_found_again_in_their_folders(tmp_path, tiny_shapes):
    setup = Setup(data=tiny_shapes, folds=2)
    planned = plan_comparison(CONFIGS, [2], tmp_path / 'work', setup)
    for run in planned:
        prepare_folder(run)
    # Of another comparison, in a folder below.
    other = replace(planned[0], folder=tmp_path / 'work' / 'below' / 'other_1xb2_seed3_fold1')
    prepare_folder(other)
    (planned[1].folder / IDENTITY).write_text('{')
    runs, unreadable = find_runs(tmp_path / 'work')
    (line,) = unreadable
    assert line.startswith(f'{planned[1].folder}: unreadable: run.json')
    found = {(r.config, r.images_per_gpu, r.seed, r.fold, r.steps, r.lr) for r in runs}
    kept = [planned[0], *planned[2:]]
    expected = {(r.config, r.images_per_gpu, r.seed, r.fold, r.steps, r.lr) for r in kept}
    assert found == expected | {('other', 2, 3, 1, planned[0].steps, planned[0].lr)}
    assert {r.norm for r in runs if r.config == 'other'} == {'BN (other)'}
    assert all(run.annotations.is_file() for run in runs)
    # Where the data were moved.
    (moved, *_), _ = find_runs(tmp_path / 'work', tiny_shapes)
    assert moved.annotations == tiny_shapes / 'annotations' / 'instances_val.json'
    with pytest.raises(UsageError, match='holds no runs'):
        find_runs(tmp_path / 'nowhere')
