"""Let the tests of the examples import `hookline_runtime`, made of the present source tree."""

import sys

from support.processes.runtime_copy import runtime_folder

sys.path.insert(0, str(runtime_folder()))
