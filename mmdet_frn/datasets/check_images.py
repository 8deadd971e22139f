"""Decoding images before training starts: whole, and of the size that the annotations say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
from PIL import Image

from .coco_file import DatasetError, StrPath

SAMPLE = 16


def check_images(
    images: Sequence[dict],
    img_dir: StrPath,
    ann_file: StrPath,
    sample: int | None = SAMPLE,
    use_exif: bool = True,
) -> None:
    """Decode images as MMDetection does and compare their sizes with those of the annotations.

    Args:
        images: Entries of the annotation file.
        img_dir: Folder that their ``file_name`` are relative to.
        ann_file: The annotation file, for messages.
        sample: How many to decode, evenly spread over the list. Default 16; None: all.
        use_exif: Turn photos as their EXIF orientation says, which OpenCV does unless the
            pipeline has ``color_type='color_ignore_orientation'``. Default True.

    Raises:
        DatasetError: an image cannot be decoded, is cut short or is of another size.
    """
    count = min(len(images), sample or len(images))
    for place in range(count):
        # The first and the last are among them.
        image = images[place * (len(images) - 1) // max(count - 1, 1)]
        _check_image(image, Path(img_dir, image['file_name']), ann_file, use_exif)


def stored_size(path: Path) -> tuple[int, int]:
    """Decode the whole of an image and return width and height; raises whatever Pillow does."""
    # Not OpenCV, which fills the rest of an image that is cut short with grey and says nothing.
    with Image.open(path) as opened:
        opened.load()
        return opened.size


def _check_image(image: dict, path: Path, ann_file: StrPath, use_exif: bool) -> None:
    try:
        stored = stored_size(path)
    except Exception as error:  # Pillow's readers raise what their formats make of it
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        reason = 'no image that Pillow knows' if str(path) in reason else reason
        raise DatasetError(
            f'image {path} listed in {ann_file} cannot be decoded: {reason}; replace it or remove '
            f'it from the annotations'
        ) from None
    flag = cv2.IMREAD_COLOR if use_exif else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    decoded = cv2.imread(str(path), flag)
    # What OpenCV cannot read, another imdecode_backend may.
    size = stored if decoded is None else decoded.shape[1::-1]
    asked = (image['width'], image['height'])
    if size == asked:
        return
    what = f'image {path} is {_by(size)} as MMDetection loads it, but {_by(asked)} in {ann_file}'
    if use_exif and size != stored:
        raise DatasetError(
            f'{what}: its EXIF orientation turns it, and every box on it would be misplaced; set '
            f"color_type='color_ignore_orientation' in LoadImageFromFile if the boxes are those of "
            f'the image as it is stored, or remove the tag'
        )
    swapped = 'width and height are swapped' if size == asked[::-1] else 'the size is wrong'
    raise DatasetError(f'{what}: {swapped}; correct width and height there, or the image')


def _by(size: tuple) -> str:
    return f'{size[0]}x{size[1]}'
