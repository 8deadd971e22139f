"""Decoding every image, in as many processes as there are cores."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

from PIL import Image as PillowImage

from .meter import Meter


class Image(NamedTuple):
    """An image file, and the size that the annotations give it."""

    path: Path
    width: int
    height: int


def find_bad_images(images: Sequence[Image], workers: int | None = None) -> list[str]:
    """Decode all images; return a line for each that cannot be, or is of another size.

    Args:
        images: The images.
        workers: Processes. Default: one for each core.
    """
    workers = workers or os.cpu_count() or 1
    problems = []
    meter = Meter('decoding', len(images), unit='images')
    # Forked, as a fresh process would first import all of MMDetection.
    context = multiprocessing.get_context('fork')
    with ProcessPoolExecutor(workers, context, initializer=_ignore_interrupt) as pool:
        try:
            for problem in pool.map(_look_at, images, chunksize=32):
                if problem is not None:
                    problems.append(problem)
                meter.add(1)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    meter.close()
    return problems


def _ignore_interrupt() -> None:
    # Ctrl-C reaches all processes of a terminal; the first of them ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _look_at(image: Image) -> str | None:
    remedy = 'remove it and fetch with --download'
    try:
        # Not OpenCV, which fills the rest of a truncated image with grey and says nothing.
        with PillowImage.open(image.path) as opened:
            opened.load()
            size = opened.size
    except Exception as error:  # Pillow's readers raise what their formats make of it
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if str(image.path) in reason:
            reason = 'no image that Pillow knows'
        return f'{image.path} cannot be decoded ({reason}); {remedy}'
    if size != (image.width, image.height):
        return (
            f'{image.path} is {size[0]}x{size[1]}, but {image.width}x{image.height} in the '
            f'annotations; {remedy}'
        )
    return None
