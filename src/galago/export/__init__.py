"""A model in the form that another tool reads."""

from galago.export.formats import Export, export

__all__ = ["Export", "export"]
