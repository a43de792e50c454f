"""The command line: a file per command, and the only room that prints.

stdout is the answer, stderr the rest; exit 0 good, 1 failed, 2 misuse, 130 interrupted. A command's file is
imported when it is called, and what it needs when it runs, so that help answers at once.
"""

from galago.cli.app import COMMANDS, application, main, program

__all__ = ["COMMANDS", "application", "main", "program"]
