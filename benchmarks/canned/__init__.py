"""The two sides of the bridge, made as cheap as can be: each runs in a process of its own."""
