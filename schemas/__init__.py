"""Every shape that crosses a process boundary: topics, records, payloads, settings, metrics."""
