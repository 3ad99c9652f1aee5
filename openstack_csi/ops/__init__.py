"""How it is operated: logs, metrics, health."""
