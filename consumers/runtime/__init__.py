"""What every consumer runs on: fetch, hold, deliver, commit, and follow the sink's position."""
