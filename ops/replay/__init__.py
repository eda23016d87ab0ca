"""`hookline replay`: bring the callbacks of a range of time to one consumer again."""
