"""Commit: what is known to be delivered, and the metric totals that go with it."""
