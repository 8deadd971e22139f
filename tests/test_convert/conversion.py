"""What the tests of conversions share."""

import math

import torch

from mmdet_frn import convert
from mmdet_frn.convert.batch_norms import is_batch_norm


def randomize(model, seed=0):
    """Give every BN statistics and parameters far from their initial values."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if is_batch_norm(module) and module.running_mean is not None:
            module.running_mean.normal_(0, 0.3, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            if module.weight is not None:
                module.weight.data.uniform_(0.5, 1.5, generator=generator)
                module.bias.data.normal_(0, 0.2, generator=generator)
    return model


def check_equal_to_bn(model, x, **kwargs):
    """Convert with a prior of 1 and check that the outputs stay; return the report."""
    randomize(model).eval()
    with torch.no_grad():
        expected = model(x)
        report = convert(model, x, kappa=math.inf, **kwargs)
        assert (model(x) - expected).abs().max() <= 1e-4 * expected.abs().max()
    return report
