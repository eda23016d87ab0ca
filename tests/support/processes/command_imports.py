"""Import the modules of all commands, which processes that are forked later then need not."""

from importlib import import_module

from ops.cli import SUBCOMMANDS

for _place in SUBCOMMANDS.values():
    import_module(_place.partition(":")[0])
# These are imported by commands when they run.
for _name in ("ops.dead_letters.to_webhook", "ops.status.run"):
    import_module(_name)
