"""The demo: its receiver, its page in a real browser, and the whole of it as a process."""
