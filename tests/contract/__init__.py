"""The same tests on the stand-in and on a real Letta server: what one does, the other does."""
