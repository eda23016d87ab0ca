"""Counters that one would write instead of ours, each written as well as possible."""
