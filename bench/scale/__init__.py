"""Measure how the ingress scales with processes, and the archive with members of its group."""
