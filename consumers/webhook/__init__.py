"""The consumer `webhook`: delivers every callback to an HTTP target, in order, at least once."""
