"""Weight decay of norms that includes every norm and activation of the table."""

from __future__ import annotations

import logging

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from mmdet_frn.norms import follows_norm_decay


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class NormDecayOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """MMEngine's default constructor with ``norm_decay_mult`` for every norm of the table.

    MMEngine recognises only PyTorch's norms. With
    ``optim_wrapper=dict(constructor='NormDecayOptimWrapperConstructor',
    paramwise_cfg=dict(norm_decay_mult=0.))`` gamma, beta, tau and a learned epsilon are treated as
    the parameters of BN and GN are: ``bias_lr_mult`` and ``bias_decay_mult`` leave them alone,
    ``custom_keys`` come first.
    """

    paramwise_cfg: dict

    def add_params(
        self,
        params: list[dict],
        module: nn.Module,
        prefix: str = '',
        is_dcn_module: float | None = None,
    ) -> None:
        """Add the parameter groups of ``module`` and below to ``params``."""
        given = self.paramwise_cfg
        if follows_norm_decay(module):
            # All their parameters are 1-D, so the rule for flat ones applies to each.
            mult = given.get('norm_decay_mult', given.get('flat_decay_mult'))
            self.paramwise_cfg = {
                **given,
                'bias_lr_mult': None,
                'bias_decay_mult': None,
                'flat_decay_mult': mult,
            }
        try:
            super().add_params(params, module, prefix, is_dcn_module)
        finally:
            self.paramwise_cfg = given


def warn_of_norm_decay(cfg: Config, model: nn.Module) -> None:
    """Log a warning if ``norm_decay_mult`` is set and does not reach the norms of ``model``."""
    optim = cfg.get('optim_wrapper') or {}
    mult = (optim.get('paramwise_cfg') or {}).get('norm_decay_mult')
    constructor = optim.get('constructor', 'DefaultOptimWrapperConstructor')
    # Another constructor has its own rules.
    if mult is None or constructor != 'DefaultOptimWrapperConstructor':
        return
    norms = (m for m in model.modules() if follows_norm_decay(m))
    missed = sorted({type(m).__name__ for m in norms if list(m.parameters())})
    if missed:
        print_log(
            f'optim_wrapper.paramwise_cfg.norm_decay_mult={mult} is ignored for '
            f'{", ".join(missed)}: MMEngine recognises only the norms of PyTorch; set '
            f"optim_wrapper.constructor='{NormDecayOptimWrapperConstructor.__name__}'",
            logger='current',
            level=logging.WARNING,
        )
