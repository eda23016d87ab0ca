"""Benchmarks of the product beside what one would write without it; bench/README.md has figures."""
