"""Which cells a comparison has, and what each trains."""

import pytest
from mmengine.config import Config

from mmdet_frn.compare.cells import norm_label, plan_cells, prepare_folder
from mmdet_frn.datasets import find_coco
from mmdet_frn.utils.errors import UsageError

CONFIGS = [
    f'configs/shapes/retinanet_r18-w32_fpn_{norm}-all_1xb2-1k_shapes-128.py'
    for norm in ('bn', 'gn', 'frn')
]


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch, request):
    monkeypatch.chdir(request.config.rootpath)


def test_cells_are_the_product_column_by_column(tmp_path):
    cells = plan_cells(CONFIGS, [4, 2], tmp_path, seeds=[0, 1])
    assert [(c.images_per_gpu, c.method, c.seed) for c in cells] == [
        (images, method, seed)
        for images in (4, 2)
        for method in ('BN', 'GN', 'FRN')
        for seed in (0, 1)
    ]
    assert len({cell.folder for cell in cells}) == len(cells)
    for cell in cells:
        assert cell.cfg.train_dataloader.batch_size == cell.images_per_gpu
        assert cell.cfg.randomness.seed == cell.seed
        assert cell.cfg.work_dir == str(cell.folder)
    by_images = {cell.images_per_gpu: cell for cell in cells}
    assert by_images[2].steps == 2 * by_images[4].steps


def test_steps_are_those_at_the_configs_own_batch_size(tmp_path):
    cells = plan_cells(CONFIGS[:1], [4, 2, 1], tmp_path, steps=100)
    assert [cell.steps for cell in cells] == [50, 100, 200]
    assert [cell.cfg.param_scheduler[-1].end for cell in cells] == [50, 100, 200]


def test_data_replaces_the_datasets_and_the_number_of_classes(tmp_path, tiny_shapes):
    (cell,) = plan_cells(CONFIGS[:1], [2], tmp_path, data=find_coco(tiny_shapes))
    assert cell.cfg.train_dataloader.dataset.ann_file.startswith(str(tiny_shapes))
    assert cell.cfg.val_evaluator.ann_file == cell.cfg.test_dataloader.dataset.ann_file
    classes = cell.cfg.val_dataloader.dataset.metainfo.classes
    assert cell.cfg.model.bbox_head.num_classes == len(classes)


@pytest.mark.parametrize(
    ('norm', 'act', 'extra', 'label'),
    [
        ('FRN', 'TLU', {}, 'FRN'),
        ('FRN', 'ReLU', {}, 'FRN+ReLU'),
        ('BN', 'ReLU', {}, 'BN'),
        ('BN', 'TLU', {}, 'BN+TLU'),
        ('BN', 'ReLU', {'init_cfg': {'type': 'Pretrained'}}, 'BN*'),
    ],
)
def test_labels_are_the_rows_of_table_6(norm, act, extra, label):
    backbone = {'norm_cfg': {'type': norm}, 'act_cfg': {'type': act}, **extra}
    assert norm_label(Config({'model': {'backbone': backbone}})) == label


def test_methods_of_one_norm_are_told_apart_by_their_configs(tmp_path):
    other = tmp_path / 'wider_bn.py'
    other.write_text(f"_base_ = '{_absolute(CONFIGS[0])}'\n")
    cells = plan_cells([CONFIGS[0], other], [2], tmp_path)
    assert [c.method for c in cells] == [
        'BN (retinanet_r18-w32_fpn_bn-all_1xb2-1k_shapes-128)',
        'BN (wider_bn)',
    ]


def _absolute(path):
    from pathlib import Path

    return Path(path).resolve()


def test_wrong_arguments_are_named(tmp_path):
    with pytest.raises(UsageError, match='two configs are called'):
        plan_cells([CONFIGS[0], CONFIGS[0]], [2], tmp_path)
    with pytest.raises(UsageError, match=r'frn-al_1xb2-1k_shapes-128.py does not exist; did you'):
        plan_cells([CONFIGS[2].replace('all', 'al')], [2], tmp_path)
    with pytest.raises(UsageError, match='steps must be at least 1, but are 0'):
        plan_cells(CONFIGS, [2], tmp_path, steps=0)
    broken = tmp_path / 'broken.py'
    broken.write_text('model = dict(\n')
    with pytest.raises(UsageError, match=r'broken.py cannot be loaded: SyntaxError'):
        plan_cells([broken], [2], tmp_path)


def test_a_folder_of_other_settings_is_refused_and_kept(tmp_path):
    (cell,) = plan_cells(CONFIGS[:1], [2], tmp_path)
    prepare_folder(cell)
    prepare_folder(cell)
    kept = {path: path.read_bytes() for path in cell.folder.iterdir()}
    (other,) = plan_cells(CONFIGS[:1], [2], tmp_path, options={'optim_wrapper.optimizer.lr': 1.0})
    with pytest.raises(UsageError, match='holds results of other settings'):
        prepare_folder(other)
    assert {path: path.read_bytes() for path in cell.folder.iterdir()} == kept


def test_a_work_directory_may_be_moved(tmp_path):
    (cell,) = plan_cells(CONFIGS[:1], [2], tmp_path / 'a')
    prepare_folder(cell)
    (tmp_path / 'a').rename(tmp_path / 'b')
    (moved,) = plan_cells(CONFIGS[:1], [2], tmp_path / 'b')
    prepare_folder(moved)
