"""Drawing of shapes on textured backgrounds; :mod:`.shapes` makes a detection set of them."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

CLASSES = ('circle', 'ring', 'triangle', 'cross')

# Small, medium and large: diameters of the circumscribed circle as parts of the image's short
# side, and how often each is drawn.
_DIAMETERS = ((0.2, 0.3), (0.3, 0.45), (0.45, 0.65))
_DIAMETER_ODDS = (0.45, 0.4, 0.15)
# The least part of a shape that neither the image's edge nor later shapes may hide.
_MIN_VISIBLE = 0.9
_MIN_OBJECTS = 3
# Between a shape and what is behind it, as a distance in BGR space.
_MIN_CONTRAST = 60
# Of rotation to either side, in radians.
_MAX_ANGLE = np.pi / 8
# Placements tried for one object before it is left out.
_MAX_TRIES = 50


def draw_image(
    rng: np.random.Generator, size: tuple[int, int], max_objects: int
) -> tuple[np.ndarray, list[tuple[int, np.ndarray]]]:
    """Draw one image.

    Args:
        rng: Source of all randomness.
        size: (height, width) in pixels.
        max_objects: Largest number of objects; the smallest is 3, or this where less.

    Returns:
        The image, uint8 (height, width, 3), and a list of (label, mask of the visible pixels, bool
        (height, width)), later objects in front.
    """
    base = rng.uniform(35, 95) + rng.uniform(-15, 15, 3)
    image = base.astype(np.float32) + _texture(rng, size, rng.uniform(8, 25))
    grain = _texture(rng, size, 1)
    labels: list[int] = []
    masks: list[np.ndarray] = []
    full_areas: list[float] = []
    for _ in range(rng.integers(min(_MIN_OBJECTS, max_objects), max_objects + 1)):
        label = int(rng.integers(len(CLASSES)))
        for _ in range(_MAX_TRIES):
            corners = _random_corners(rng, label, size)
            coverage = _rasterize(corners, size)
            shape = coverage >= 0.5
            visible = [*(mask & ~shape for mask in masks), shape]
            areas = [*full_areas, cv2.contourArea(corners.astype(np.float32))]
            parts = [mask.sum() / area for mask, area in zip(visible, areas, strict=True)]
            if min(parts) >= _MIN_VISIBLE:
                break
        else:
            continue
        labels, masks, full_areas = [*labels, label], visible, areas
        colour = _contrasting_colour(rng, image[shape][::8])
        fill = colour + np.float32(rng.uniform(4, 16)) * grain
        image += coverage[..., None] * (fill - image)
    image += rng.uniform(2, 8) * rng.standard_normal(image.shape, np.float32)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), [*zip(labels, masks, strict=True)]


def _texture(rng: np.random.Generator, size: tuple[int, int], strength: float) -> np.ndarray:
    """Noise of several scales plus a gradient, zero mean, float32 (height, width, 3)."""
    height, width = size
    # The share of the coarse scales differs from image to image: clouds in some, grain in others.
    roughness = rng.uniform(0.5, 1.2)
    noise: Any = np.zeros((1, 1, 3), np.float32)
    for octave in range(1, 6):
        cells = 2**octave + 1
        # Grey and coloured noise together.
        grid = rng.normal(size=(cells, cells, 1)) + 0.3 * rng.normal(size=(cells, cells, 3))
        noise = cv2.resize(noise, (cells, cells), interpolation=cv2.INTER_CUBIC)
        noise += (roughness**octave * grid).astype(np.float32)
    noise = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    angle = rng.uniform(0, 2 * np.pi)
    ramp = np.add.outer(
        np.sin(angle) * np.linspace(-1, 1, height), np.cos(angle) * np.linspace(-1, 1, width)
    )
    noise += (ramp[..., None] * rng.normal(0, noise.std(), 3)).astype(np.float32)
    noise -= noise.mean(axis=(0, 1))
    return noise * (strength / noise.std())


def _contrasting_colour(rng: np.random.Generator, behind: np.ndarray) -> np.ndarray:
    """A random colour, (3,), that stands out from nearly all pixels behind it, (n, 3)."""
    colours = rng.uniform(30, 255, (16, 3))
    # Lighter than the background, so that a small detector learns the set in minutes.
    colours *= rng.uniform(140, 210, (16, 1)) / colours.mean(axis=1, keepdims=True)
    colours = np.minimum(colours, 255).astype(np.float32)
    distances = np.linalg.norm(behind - colours[:, None], axis=2)
    contrasts = np.quantile(distances, 0.1, axis=1)
    # The first that will do, not the best: contrast is to vary.
    enough = np.flatnonzero(contrasts >= _MIN_CONTRAST)
    return colours[enough[0] if enough.size else contrasts.argmax()]


def _unit_corners(label: int) -> np.ndarray:
    """The corners of a shape in a circle of diameter 1 around the origin, (n, 2)."""
    name = CLASSES[label]
    if name == 'cross':
        arm = 0.16
        long = np.sqrt(0.25 - arm**2)
        quarter = np.array([[long, -arm], [long, arm], [arm, arm]])
        turn = np.array([[0, 1], [-1, 0]])
        return np.concatenate([quarter @ np.linalg.matrix_power(turn, k) for k in range(4)])
    if name == 'triangle':
        return 0.5 * _on_circle(np.array([-0.25, 1 / 12, 5 / 12]))
    turns = np.linspace(0, 1, 65)
    circle = 0.5 * _on_circle(turns)
    if name == 'circle':
        return circle
    # Out along the outer circle and back along the inner: one polygon with a hole.
    return np.concatenate([circle, 0.5 * circle[::-1]])


def _on_circle(turns: np.ndarray) -> np.ndarray:
    """Points of the unit circle, clockwise from the right as images have y downwards, (n, 2)."""
    return np.stack([np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)], axis=1)


def _random_corners(rng: np.random.Generator, label: int, size: tuple[int, int]) -> np.ndarray:
    """The corners of a shape, stretched, scaled, rotated and placed, (n, 2) as x, y in pixels."""
    low, high = _DIAMETERS[rng.choice(len(_DIAMETERS), p=_DIAMETER_ODDS)]
    diameter = min(size) * rng.uniform(low, high)
    stretch = np.exp(rng.uniform(-0.1, 0.1))
    angle = rng.uniform(-_MAX_ANGLE, _MAX_ANGLE)
    corners = _unit_corners(label) * (diameter * stretch, diameter / stretch)
    cos, sin = np.cos(angle), np.sin(angle)
    centre = rng.uniform(0.1, 0.9, 2) * (size[1], size[0])
    return corners @ np.array([[cos, sin], [-sin, cos]]) + centre


def _rasterize(corners: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The part of each pixel that a polygon covers, 0 to 1, (height, width)."""
    bits = 4
    # OpenCV's integer coordinates are the centres of pixels.
    fixed = np.rint((corners - 0.5) * 2**bits).astype(np.int32)
    canvas = np.zeros(size, np.uint8)
    cv2.fillPoly(canvas, [fixed], 255, lineType=cv2.LINE_AA, shift=bits)
    return canvas / np.float32(255)
