"""Measure the webhook: deliveries a second, and the wait of callbacks beside a failing one."""
