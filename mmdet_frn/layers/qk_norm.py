"""Attention with normalised queries and keys (Dehghani et al., ICML 2023)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from mmdet_frn.registry import NORM_LAYERS


@NORM_LAYERS.register_module()
class QKNorm(nn.Module):
    """LayerNorm of queries and of keys over each head, which bounds the logits of attention.

    Source: Dehghani et al. 2023, "Scaling Vision Transformers to 22 Billion Parameters".

    Args:
        head_features: Channels of a head.
        eps: Default 1e-5, PyTorch's.
    """

    def __init__(self, head_features: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.q = nn.LayerNorm(head_features, eps)
        self.k = nn.LayerNorm(head_features, eps)

    def forward(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Normalise q and k (*, head_features)."""
        return self.q(q), self.k(k)


@NORM_LAYERS.register_module()
class QKNormAttention(nn.Module):
    """x + attention(x) over the pixels of a feature map, with :class:`QKNorm` in each head.

    The last projection is 0 at first, so a fresh layer returns its input.

    Args:
        num_features: Channels C.
        num_heads: Default 8.
        eps: Of the norms. Default 1e-5.

    Raises:
        ValueError: num_heads does not divide num_features.
    """

    condition = None

    def __init__(self, num_features: int, num_heads: int = 8, eps: float = 1e-5) -> None:
        super().__init__()
        if num_heads < 1 or num_features % num_heads:
            raise ValueError(f'num_heads must divide num_features={num_features}, got {num_heads}')
        self.num_heads = num_heads
        self.qkv = nn.Linear(num_features, 3 * num_features)
        self.norm = QKNorm(num_features // num_heads, eps)
        self.proj = nn.Linear(num_features, num_features)
        nn.init.zeros_(self.proj.weight)
        nn.init.zeros_(self.proj.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map x (N, C, H, W); memory grows with (H W)^2 where torch has no fused attention."""
        tokens = x.flatten(2).transpose(1, 2)
        qkv = self.qkv(tokens).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        q, k = self.norm(qkv[0], qkv[1])
        out = F.scaled_dot_product_attention(q, k, qkv[2]).transpose(1, 2).flatten(2)
        return x + self.proj(out).transpose(1, 2).unflatten(2, x.shape[2:])
