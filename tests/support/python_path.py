"""Where programs that tests start find what tests import: the folders that pytest searches."""

import os
import tomllib
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_OPTIONS = tomllib.loads((_ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
# The value of PYTHONPATH.
PYTHON_PATH = os.pathsep.join(str(_ROOT / folder) for folder in _OPTIONS["pythonpath"])
