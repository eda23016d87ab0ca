"""Measure sync to PostgreSQL and to webhooks beside what one would write without it."""
