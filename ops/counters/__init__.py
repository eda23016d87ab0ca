"""`hookline counters`: count again."""
