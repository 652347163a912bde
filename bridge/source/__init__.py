"""Read: Letta's REST API. `client` talks HTTP, `pager` proves the pages, `models` takes what comes."""
