"""Who is measured: each contestant is a process of its own, and does the same work."""
