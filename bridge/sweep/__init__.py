"""One sweep: read, decide, map, send, commit. The only place where source, follow, map, export and ledger meet."""
