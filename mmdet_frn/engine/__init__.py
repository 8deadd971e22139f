"""What training needs beyond MMEngine."""

from . import flops
from .accumulation import accumulate
from .agc import AGCOptimWrapper, AmpAGCOptimWrapper
from .channels_last_hook import ChannelsLastHook
from .dead_maps_hook import DeadMapsHook
from .optim_wrapper_constructor import NormDecayOptimWrapperConstructor
from .param_scheduler_hook import OptimStepParamSchedulerHook
from .precise_bn_hook import PreciseBNHook
from .prior_hook import PriorAnnealingHook
from .ramp_up_cosine_lr import RampUpCosineLR
from .seed_by_position import SeedByPosition
from .stop_at_invalid_loss_hook import StopAtInvalidLossHook
from .stream_sampler import StreamIndex, StreamSampler

__all__ = [
    'AGCOptimWrapper',
    'AmpAGCOptimWrapper',
    'ChannelsLastHook',
    'DeadMapsHook',
    'NormDecayOptimWrapperConstructor',
    'OptimStepParamSchedulerHook',
    'PreciseBNHook',
    'PriorAnnealingHook',
    'RampUpCosineLR',
    'SeedByPosition',
    'StopAtInvalidLossHook',
    'StreamIndex',
    'StreamSampler',
    'accumulate',
]

flops.register()
