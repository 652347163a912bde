"""The demo: an embedded Letta stand-in plays recorded runs, an embedded page shows the traces made of them."""
