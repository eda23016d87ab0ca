"""The public port: read requests, and answer them."""
