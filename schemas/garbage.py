"""Collect garbage again in a process that has disabled it during its imports."""

import gc


def collect_garbage_again() -> None:
    """Enable collections, which leave out what was imported: it stays until the process ends."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
