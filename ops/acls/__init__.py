"""`hookline topics plan|apply --acls`: who may do what in Kafka, as a file."""
