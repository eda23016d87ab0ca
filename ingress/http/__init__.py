"""Receive requests on the public port and answer each of them."""
