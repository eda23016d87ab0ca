"""Benchmarks of the product and of what one would write without it; results: bench/README.md."""
