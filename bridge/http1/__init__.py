"""A small HTTP/1.1 client: llhttp (the parser of Node.js, by httptools) on asyncio, and nothing that is not used.

There are as many GETs to Letta as steps. One costs a third of the CPU here that it costs with aiohttp, a thirtieth of
what it costs with httpx; and neither of them has to be in memory, which takes 12 to 18 MB.
Requests are written by whoever asks. No proxy, no redirect, no cookie, no time-out, and nothing is sent twice.
"""

from bridge.http1.answer import Answer, Disconnected, NoAnswer, NotHttp, Unreachable, Unreadable
from bridge.http1.origin import Origin

__all__ = ["Answer", "Disconnected", "NoAnswer", "NotHttp", "Origin", "Unreachable", "Unreadable"]
