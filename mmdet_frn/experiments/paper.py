"""What the paper reports in Table 6: RetinaNet R101-FPN on COCO val2017."""

from __future__ import annotations

NORMS = ('BN*', 'BN', 'GN', 'FRN')
NUM_GPUS = 8
IMAGES_PER_GPU = (8, 4, 2)
BASE_LRS = (0.01, 0.05, 0.1)  # at BASE_BATCH_SIZE
BASE_BATCH_SIZE = 64

# Percent, at 8, 4 and 2 images per GPU.
_RESULTS = {
    'AP': {
        'BN*': (38.3, 37.1, 32.9),
        'BN': (38.7, 37.9, 30.2),
        'GN': (39.3, 39.0, 38.7),
        'FRN': (39.6, 39.5, 39.1),
    },
    'AP50': {
        'BN*': (57.2, 55.4, 49.1),
        'BN': (56.6, 55.2, 44.5),
        'GN': (57.8, 57.5, 56.9),
        'FRN': (58.5, 58.4, 57.5),
    },
    'AP75': {
        'BN*': (41.5, 40.4, 35.9),
        'BN': (42.1, 41.4, 32.5),
        'GN': (42.6, 42.3, 41.8),
        'FRN': (43.1, 43.3, 42.3),
    },
}


def paper_result(norm: str, metric: str, images_per_gpu: int) -> float | None:
    """Return the paper's figure in percent, None where the paper has none."""
    results = _RESULTS[metric].get(norm)
    if results is None or images_per_gpu not in IMAGES_PER_GPU:
        return None
    return results[IMAGES_PER_GPU.index(images_per_gpu)]
