"""Store every callback as one line of one segment, permanently."""
