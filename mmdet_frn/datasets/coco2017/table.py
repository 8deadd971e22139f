"""What COCO 2017 consists of: archives with their sizes and checksums, and the counts within."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Archive(NamedTuple):
    """A zip file: its path below the base URL, its bytes packed and (at most) unpacked."""

    path: str
    size: int
    unpacked: int
    sha256: str


class Split(NamedTuple):
    """Images in the folder ``name``, annotations in ``annotations/instances_<name>.json``."""

    name: str
    images: int
    annotations: int
    archive: Archive


class CocoTable(NamedTuple):
    """A COCO release: where it is served, its splits, and the archive of all annotations."""

    base_url: str
    splits: Mapping[str, Split]
    annotations: Archive
    categories: int


# COCO publishes no checksums. Sizes and SHA-256 are those that TensorFlow Datasets recorded, in
# tensorflow_datasets/url_checksums/coco.txt of github.com/tensorflow/datasets at commit
# 333639b37af6c6fedf3610a4a2d42f1c6ef6f7d5.
TRAIN = '69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929'
VAL = '4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05'
BOXES = '113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268'
train_zip = Archive('zips/train2017.zip', 19336861798, 20 * 10**9, TRAIN)
val_zip = Archive('zips/val2017.zip', 815585330, 850 * 10**6, VAL)
COCO2017 = CocoTable(
    'http://images.cocodataset.org',
    splits=dict(
        train=Split('train2017', 118287, 860001, train_zip),
        val=Split('val2017', 5000, 36781, val_zip),
    ),
    annotations=Archive('annotations/annotations_trainval2017.zip', 252907541, 10**9, BOXES),
    categories=80,
)
