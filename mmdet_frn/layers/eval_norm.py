"""EvalNorm: BN corrected in evaluation (Singh and Shrivastava, ICCV 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmdet_frn.registry import NORM_LAYERS

from .wide import affine, per_channel, widen


@NORM_LAYERS.register_module()
class EvalNorm(nn.BatchNorm2d):
    """BN in training; in evaluation, the statistics to expect of a batch that has the image in it.

    In training an image is normalised with a batch that it is part of, in evaluation BN uses the
    population's statistics: with few images a batch the two differ. With mu_i and var_i of the
    image, mu and var the running ones and a = 1 / batch_size, evaluation uses

        mean = a mu_i + (1 - a) mu
        variance = a var_i + (1 - a) var + a (1 - a) (mu_i - mu)^2

    which are the expectations over the other images. PyTorch's unbiased ``running_var`` is made
    biased for maps of the size at hand. A trained BN's state loads as it is. Source: Singh and
    Shrivastava 2019, who also learn the shares of the image; here they are 1 / batch_size.

    Args:
        num_features: Channels C.
        batch_size: Images that were normalised together in training, per GPU for BN. Default 2.
        kwargs: As for BN.

    Raises:
        ValueError: batch_size is below 1.
    """

    _abbr_ = 'bn'
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_features: int, batch_size: int = 2, **kwargs) -> None:
        super().__init__(num_features, **kwargs)
        if batch_size < 1:
            raise ValueError(f'batch_size must be >= 1, got {batch_size}')
        self.batch_size = batch_size

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (N, C, H, W)."""
        if self.training or not self.track_running_stats:
            return super().forward(x)
        wide = widen(x)
        var_i, mean_i = torch.var_mean(wide, (2, 3), correction=0, keepdim=True)
        share = 1 / self.batch_size
        population = per_channel(self.running_mean, wide)
        biased = 1 - 1 / (self.batch_size * x.shape[2] * x.shape[3])
        var = (1 - share) * biased * per_channel(self.running_var, wide) + share * var_i
        var = var + share * (1 - share) * (mean_i - population).square()
        mean = population + share * (mean_i - population)
        x_hat = (wide - mean) * (var + self.eps).rsqrt()
        return affine(x_hat, self.weight, self.bias, x.dtype) if self.affine else x_hat.to(x.dtype)
