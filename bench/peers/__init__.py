"""Code that the peers of both benchmarks share; no peer imports the product."""
