"""Creates the sampler and the pruner that a study names."""

from .factory import SamplerFactory, sampler_factory
from .pruners import make_pruner

__all__ = ["SamplerFactory", "make_pruner", "sampler_factory"]
