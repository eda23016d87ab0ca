"""Servers that one would write instead of the ingress, each written as well as possible."""
