"""Measure what counting costs, beside the counters that one would write without the product."""
