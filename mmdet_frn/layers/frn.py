"""Filter Response Normalization as a layer (Singh and Krishnan, CVPR 2020)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from mmdet_frn.ops import frn, frn_tlu
from mmdet_frn.registry import NORM_LAYERS

from .batch_norm import convert_entries
from .builder_eps import resolve_eps
from .prior import Prior
from .tlu import TLU

DEFAULT_EPS = 1e-6


@NORM_LAYERS.register_module()
class FRN(nn.Module):
    """Filter Response Normalization, eq. (1)-(2): weight * x / sqrt(mean(x^2) + eps) + bias.

    Input and output are (N, C, *) with zero to three spatial dimensions, in one dtype; statistics
    are taken per sample and channel, in fp32 for half inputs. Nothing depends on the batch or on
    the training mode.

    ``build_norm_layer(dict(type='FRN'), C)`` gives the paper's eps although the builder fills in
    1e-5 (:func:`resolve_eps`). An eps that the config names is kept, 1e-5 included.

    Args:
        num_features: Channels C.
        eps: Constant part of epsilon. Default 1e-6 (section 3.3).
        learnable_eps: Add a learned part ``eps_l`` to ``eps``, one number per layer (section 3.3;
            advised where maps are 1x1). Default False.
        eps_init: Initial value of the learned part. Default 1e-4.
        eps_per_channel: Learn one number per channel in its place; needs ``learnable_eps``. Default
            False.
        eps_form: 'abs' for eps + |eps_l|, the paper's choice, or 'exp' for eps + exp(eps_l).
        prior: lambda in [0, 1] of a :class:`Prior`, between FRN (0) and a BN in evaluation mode
            (1). Default None: the paper's FRN.
        learnable_prior: Learn lambda per channel. Default False.

    A BN's entries in a state dict are converted as they are loaded (:func:`convert_entries`).

    Raises:
        ValueError: num_features, eps, eps_init, eps_form or prior is out of range, or an argument
            lacks the one that it needs.
        TypeError: an argument is another norm's, as when inherited from ``_base_``.
    """

    _abbr_ = 'frn'
    # eps of a BN whose entries are loaded: PyTorch's default, unless ``convert`` knows better.
    batch_norm_eps = 1e-5

    def __init__(
        self,
        num_features: int,
        eps: float = DEFAULT_EPS,
        learnable_eps: bool = False,
        eps_init: float = 1e-4,
        eps_form: str = 'abs',
        prior: float | None = None,
        learnable_prior: bool = False,
        eps_per_channel: bool = False,
        **others: Any,
    ) -> None:
        super().__init__()
        if others:
            raise TypeError(
                f'FRN takes no {" or ".join(sorted(others))}; if norm_cfg inherits it from _base_, '
                f"write norm_cfg=dict(_delete_=True, type='FRN')"
            )
        if num_features < 1:
            raise ValueError(f'num_features must be at least 1, but is {num_features}')
        if not 0 <= eps < math.inf:
            raise ValueError(f'eps must be a finite number of at least 0, but is {eps}')
        if not 0 < eps_init < math.inf:
            raise ValueError(f'eps_init must be a finite number above 0, but is {eps_init}')
        if eps_form not in ('abs', 'exp'):
            raise ValueError(f"eps_form must be 'abs' or 'exp', but is {eps_form!r}")
        self.num_features = num_features
        self.eps = resolve_eps(eps, DEFAULT_EPS)
        self.learnable_eps = learnable_eps
        self.eps_init = eps_init
        self.eps_form = eps_form
        self.weight = nn.Parameter(torch.empty(num_features))
        self.bias = nn.Parameter(torch.empty(num_features))
        size = num_features if eps_per_channel else 1
        self.eps_l = nn.Parameter(torch.empty(size)) if learnable_eps else None
        if eps_per_channel and not learnable_eps:
            raise ValueError('eps_per_channel needs learnable_eps=True')
        if learnable_prior and prior is None:
            raise ValueError('learnable_prior needs a prior to start from, as prior=0.9')
        self.prior = None if prior is None else Prior(num_features, prior, learnable_prior)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set weight to ones, bias to zeros and the learned part of epsilon to ``eps_init``."""
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)
        if self.eps_l is not None:
            init = math.log(self.eps_init) if self.eps_form == 'exp' else self.eps_init
            nn.init.constant_(self.eps_l, init)
        if self.prior is not None:
            self.prior.reset_parameters()

    def total_eps(self) -> float | Tensor:
        """Return ``eps``, plus the learned part in at least fp32 where there is one."""
        if self.eps_l is None:
            return self.eps
        eps_l = self.eps_l.to(torch.promote_types(self.eps_l.dtype, torch.float32))
        return self.eps + (eps_l.exp() if self.eps_form == 'exp' else eps_l.abs())

    def forward(
        self, x: Tensor, tau: Tensor | None = None, residual: Tensor | None = None
    ) -> Tensor:
        """Normalise x; with a TLU's ``tau``, return max(frn(x) [+ residual], tau) in one op.

        Args:
            x: (N, C, *), floating point.
            tau: Threshold (C,) of the TLU that follows. Default None: no threshold.
            residual: Added before the threshold, like x; only together with tau. Default None.
        """
        weight, eps = self.weight, self.total_eps()
        if self.prior is not None:
            weight, eps = self.prior(weight, eps)
        if tau is None:
            if residual is not None:
                raise ValueError('residual needs tau: FRN adds it only before a threshold')
            return frn(x, weight, self.bias, eps)
        return frn_tlu(x, weight, self.bias, tau, eps, residual)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        convert_entries(self, state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def fuses(self, act: nn.Module) -> bool:
        """Return whether :meth:`forward_act` takes ``act``: a TLU."""
        return isinstance(act, TLU)

    def forward_act(self, x: Tensor, act: TLU, residual: Tensor | None = None) -> Tensor:
        """Return act(frn(x) [+ residual]) in one op; forward hooks of ``act`` do not fire."""
        return self(x, tau=act.tau, residual=residual)

    def extra_repr(self) -> str:
        """Return the arguments for ``print``."""
        learned = f', learnable_eps=True, eps_form={self.eps_form!r}' if self.learnable_eps else ''
        if self.eps_l is not None and self.eps_l.numel() > 1:
            learned += ', eps_per_channel=True'
        return f'{self.num_features}, eps={self.eps:g}{learned}'
