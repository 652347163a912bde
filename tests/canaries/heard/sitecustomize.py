"""On the path of each bridge of the canaries: notes each process that it starts, with arguments and environment."""

import os
import sys

STARTS = ("os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.system", "pty.spawn", "subprocess.Popen")


def hear(event: str, arguments: tuple[object, ...]) -> None:
    if event.startswith(STARTS):
        with open(os.environ["STARTED_PROCESSES"], "a", encoding="utf-8") as file:  # noqa: PTH123 - before much is there
            file.write(f"{event} {arguments!r} {dict(os.environ)!r}\n")


sys.addaudithook(hear)
