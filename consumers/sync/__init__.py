"""Write every callback to a PostgreSQL database, once, for other systems to query."""
