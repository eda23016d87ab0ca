"""What all tests share."""

import os

from hypothesis import HealthCheck, settings

# One profile for people and CI: derandomized, so that a red run can be repeated.
settings.register_profile(
    "house",
    max_examples=int(os.environ.get("EXAMPLES", "100")),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("house")
