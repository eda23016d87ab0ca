"""`hookline find`: where a callback is."""
