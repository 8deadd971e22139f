"""Models with FRN in other formats: importing this package lets PyTorch's exporters write FRN."""

from mmdet_frn.ops import is_compiled

from . import decomposition, symbolic

if is_compiled():  # without the library there are only ATen ops
    decomposition.register()
    symbolic.register()
