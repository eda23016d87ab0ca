"""Store every callback as one line of one segment, until `hookline archive expire` deletes it."""
