"""FRN over groups of channels: the paper's GFRN and LFRN (Table 3)."""

from __future__ import annotations

from torch import Tensor, nn

from mmdet_frn.ops import group_norm
from mmdet_frn.registry import NORM_LAYERS

from .affine_norm import AffineNorm, check_groups
from .builder_eps import resolve_eps
from .group_norm import act_arguments
from .tlu import TLU


@NORM_LAYERS.register_module()
class GFRN(AffineNorm):
    """GroupNorm without mean subtraction: weight * x / sqrt(mean(x^2) + eps) + bias.

    The mean is over the channels of a group and the spatial dimensions of one sample. Source: Singh
    and Krishnan 2020, section 4.2: "the uncentered second moments instead of variance".

    Args:
        num_features: Channels C.
        num_groups: Groups of C / num_groups neighbouring channels. Default 32, as GN in the paper.
        eps: Default 1e-6, as FRN's.

    Raises:
        ValueError: num_groups does not divide num_features.
    """

    _abbr_ = 'gfrn'

    def __init__(self, num_features: int, num_groups: int = 32, eps: float = 1e-6) -> None:
        super().__init__(num_features, resolve_eps(eps, 1e-6))
        self.num_groups = check_groups(num_groups, num_features)

    def forward(
        self,
        x: Tensor,
        tau: Tensor | None = None,
        relu: bool = False,
        residual: Tensor | None = None,
    ) -> Tensor:
        """Normalise x (N, C, *); with the activation that follows in one op.

        Args:
            x: (N, C, *), floating point.
            tau: Threshold (C,) of a TLU that follows. Default None.
            relu: Whether a ReLU follows. Default False.
            residual: Added before the activation, like x. Default None.
        """
        return group_norm(
            x, self.num_groups, self.weight, self.bias, self.eps, False, tau, relu, residual
        )

    def fuses(self, act: nn.Module) -> bool:
        """Return whether :meth:`forward_act` takes ``act``: a TLU, or a ReLU without hooks."""
        return isinstance(act, TLU) or (isinstance(act, nn.ReLU) and not act._forward_hooks)

    def forward_act(self, x: Tensor, act: TLU | nn.ReLU, residual: Tensor | None = None) -> Tensor:
        """Return act(norm(x) [+ residual]) in one op; forward hooks of ``act`` do not fire."""
        return self(x, residual=residual, **act_arguments(act))


@NORM_LAYERS.register_module()
class LFRN(GFRN):
    """GFRN with one group: LayerNorm over (C, *) without mean subtraction.

    Args:
        num_features: Channels C.
        eps: Default 1e-6, as FRN's.
    """

    _abbr_ = 'lfrn'

    def __init__(self, num_features: int, eps: float = 1e-6) -> None:
        super().__init__(num_features, num_groups=1, eps=eps)
