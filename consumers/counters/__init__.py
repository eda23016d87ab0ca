"""Count messages and people in Valkey as their callbacks arrive."""
