"""Tells the eps of a config from the one that MMCV's builder fills in."""

from __future__ import annotations

from mmcv.cnn import build_norm_layer


def _eps_of_builder() -> float | None:
    """The very float object that ``build_norm_layer`` passes when a config names no eps.

    That builder fills in ``eps=1e-5`` before it calls the layer, and only the identity of this
    constant tells its value from an equal one that the user wrote. None where interpreters share
    equal constants between modules (free-threaded builds), since there it tells nothing.
    """
    constants = getattr(getattr(build_norm_layer, '__code__', None), 'co_consts', ())
    ours = 1e-5
    injected = next((c for c in constants if c == ours), None)
    return None if injected is ours else injected


_EPS_OF_BUILDER = _eps_of_builder()


def resolve_eps(eps: float, default: float) -> float:
    """Return ``default`` where ``eps`` is the builder's own constant, else ``eps``.

    Args:
        eps: Argument of a layer, possibly filled in by MMCV's ``build_norm_layer``.
        default: The layer's default.
    """
    return default if eps is _EPS_OF_BUILDER else eps
