"""`hookline audit`: prove that every callback is in every sink exactly once."""
