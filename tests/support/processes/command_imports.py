"""Import the modules of all commands, which processes that are forked later then need not."""

from importlib import import_module

from ops.cli import SUBCOMMANDS

for _place in SUBCOMMANDS.values():
    import_module(_place.partition(":")[0])
