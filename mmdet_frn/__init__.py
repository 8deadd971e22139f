"""Filter Response Normalization and the Thresholded Linear Unit for MMDetection.

Importing the package registers its layers, models and hooks, so that
``custom_imports = dict(imports=['mmdet_frn'])`` is all that a config needs.
"""

from . import engine, layers, models

__all__ = ['engine', 'layers', 'models']
