"""What training needs beyond MMEngine."""

from .optim_wrapper_constructor import NormDecayOptimWrapperConstructor

__all__ = ['NormDecayOptimWrapperConstructor']
