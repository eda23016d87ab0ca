"""HTTP in: authenticate, store on disk, answer OK, forward to Kafka."""
