"""What training needs beyond MMEngine."""

from .optim_wrapper_constructor import NormDecayOptimWrapperConstructor
from .seed_by_position import SeedByPosition
from .stream_sampler import StreamIndex, StreamSampler

__all__ = [
    'NormDecayOptimWrapperConstructor',
    'SeedByPosition',
    'StreamIndex',
    'StreamSampler',
]
