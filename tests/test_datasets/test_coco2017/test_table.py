from mmdet_frn.datasets.coco2017 import COCO2017


def test_archives_are_those_of_the_splits():
    archives = [COCO2017.annotations, *(split.archive for split in COCO2017.splits.values())]
    assert len({archive.sha256 for archive in archives}) == 3
    for archive in archives:
        assert len(bytes.fromhex(archive.sha256)) == 32
        assert archive.unpacked > archive.size
        assert archive.name.endswith('2017.zip')
    for split in COCO2017.splits.values():
        assert split.archive.folder == split.img_dir
        assert split.archive.name == f'{split.img_dir}.zip'
        assert split.ann_file == f'annotations/instances_{split.img_dir}.json'
