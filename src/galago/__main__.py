"""`python -m galago` is `galago`."""

from galago.cli import program

program()
