"""Layers that hold arrays and call kernels, the walk over their parameters, and the cache contract.

The same classes hold float32 or packed numpy arrays (CPU inference) and torch tensors (CUDA, training): a
layer never asks which. Nothing here knows a model family or a file.
"""

from galago.nn.cache import Cache, RowCache
from galago.nn.layers import MLP, Embedding, FeedForward, GatedMLP, LayerNorm, Linear, RMSNorm, project
from galago.nn.module import Array, Layer, Module, Parameter, assign, initialise, parameters
from galago.nn.rope import Angles, axial_angles, mrope_angles
from galago.nn.screen import Screen
from galago.nn.whole import WholeLayers

__all__ = [
    "MLP",
    "Angles",
    "Array",
    "Cache",
    "Embedding",
    "FeedForward",
    "GatedMLP",
    "Layer",
    "LayerNorm",
    "Linear",
    "Module",
    "Parameter",
    "RMSNorm",
    "RowCache",
    "Screen",
    "WholeLayers",
    "assign",
    "axial_angles",
    "initialise",
    "mrope_angles",
    "parameters",
    "project",
]
