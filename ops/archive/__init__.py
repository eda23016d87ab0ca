"""`hookline archive`: list, read, verify, expire and copy the archive's segments."""
