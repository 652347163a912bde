"""`bridge backfill`: what is older than what the service follows, from new to old, once."""
