"""Filter Response Normalization and the Thresholded Linear Unit for MMDetection.

Importing the package registers its layers, models and hooks, so that
``custom_imports = dict(imports=['mmdet_frn'])`` is all that a config needs.
"""

import sys

from .version import __version__

# The environment report is most wanted where an import below fails.
if 'mmdet_frn.collect_env' not in sys.orig_argv:
    from . import engine, export, layers, models  # noqa: F401
    from .convert import convert  # noqa: F401

__all__ = ['__version__']
