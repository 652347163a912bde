"""Decide: which runs are open, which steps are settled, late or abandoned. No I/O, no clock of its own."""
