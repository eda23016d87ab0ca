"""Readers that one would write instead of the archive, each written as well as possible."""
