"""Galago beside other engines on one machine: random checkpoints, drivers, records, tables.

Modules under `drivers` run in the engines' own environments: they import nothing of Galago, and this file
nothing at all.
"""
