"""A stand-in for a Letta 0.16.8 server, with that server's bugs.

It shares no code with `bridge.source`: a stand-in that shares the mistakes of the code it tests proves nothing.
What it answers was measured on a real server; tests/contract runs the same tests on both.
"""
