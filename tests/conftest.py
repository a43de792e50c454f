"""What every test may ask for."""

from checkpoints import checkpoint

__all__ = ["checkpoint"]
