"""Samplers and pruners, made from a study by their names."""

from regsearch.search.samplers.factory import SamplerFactory, sampler_factory
from regsearch.search.samplers.pruners import make_pruner

__all__ = ["SamplerFactory", "make_pruner", "sampler_factory"]
