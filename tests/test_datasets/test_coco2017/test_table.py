from mmdet_frn.datasets.coco2017.table import COCO2017


def test_archives_are_those_of_the_splits():
    archives = [COCO2017.annotations, *(split.archive for split in COCO2017.splits.values())]
    assert len({archive.sha256 for archive in archives}) == 3
    for archive in archives:
        assert len(bytes.fromhex(archive.sha256)) == 32
        assert archive.unpacked > archive.size
    for name, split in COCO2017.splits.items():
        assert split.name == f'{name}2017'
        assert split.archive.path == f'zips/{split.name}.zip'
