"""Containers of named arrays: bytes on disk to arrays and back. What the arrays mean is not known here.

One module per container: `safetensors`, and in it Galago's own spelling of packed weights, `packed`.
"""
