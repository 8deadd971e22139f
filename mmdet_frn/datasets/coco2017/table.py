"""What COCO 2017 consists of: archives with their sizes and checksums, and the counts within."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Archive:
    """A zip file to download.

    ``path`` is below the base URL. ``folder`` is one that holds its members only, None where others
    lie beside them. ``unpacked`` is an upper bound in bytes, to plan disk space with before the
    archive itself can tell. Without ``sha256`` only the size and the checksums (CRC-32) that a zip
    holds of its members are checked.
    """

    path: str
    folder: str | None
    size: int
    sha256: str | None
    unpacked: int

    @property
    def name(self) -> str:
        """File name."""
        return self.path.rsplit('/', 1)[-1]


@dataclass(frozen=True)
class Split:
    """Training or validation images; both names are below the root of the tree."""

    ann_file: str
    img_dir: str
    images: int
    annotations: int
    archive: Archive


@dataclass(frozen=True)
class CocoTable:
    """A COCO release: where it is served, its splits by name, and the archive of annotations."""

    base_url: str
    splits: Mapping[str, Split]
    annotations: Archive
    categories: int


# COCO publishes no checksums. Sizes and SHA-256 are those that TensorFlow Datasets recorded, in
# tensorflow_datasets/url_checksums/coco.txt of github.com/tensorflow/datasets at commit
# 333639b37af6c6fedf3610a4a2d42f1c6ef6f7d5.
COCO2017 = CocoTable(
    base_url='http://images.cocodataset.org',
    splits={
        'train': Split(
            ann_file='annotations/instances_train2017.json',
            img_dir='train2017',
            images=118287,
            annotations=860001,
            archive=Archive(
                path='zips/train2017.zip',
                folder='train2017',
                size=19336861798,
                sha256='69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929',
                unpacked=20_000_000_000,
            ),
        ),
        'val': Split(
            ann_file='annotations/instances_val2017.json',
            img_dir='val2017',
            images=5000,
            annotations=36781,
            archive=Archive(
                path='zips/val2017.zip',
                folder='val2017',
                size=815585330,
                sha256='4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05',
                unpacked=850_000_000,
            ),
        ),
    },
    annotations=Archive(
        path='annotations/annotations_trainval2017.zip',
        folder=None,
        size=252907541,
        sha256='113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268',
        unpacked=1_000_000_000,
    ),
    categories=80,
)
