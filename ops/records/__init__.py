"""Read the records of a range of time, from a topic and from the archive, for several commands."""
