"""The program that every image stands for. What it does, its tag says, in words separated by `-` or `.`:

    v2           a version and nothing more (any word that is not below)
    errors5      5 % of the answers are 500, evenly spread
    slow3000     each answer takes 3000 ms; a job runs that long
    crash        prints a stack trace and exits 1 at once; `crash10` does so after 10 s
    unhealthy    health checks are answered with 500, everything else works
    flaps        health checks are answered with 200 and 500, a second each
    late5        listens only after 5 s
    badjob       as a job, prints an error and exits 1
    missing      cannot be pulled (the scheduler sees to that)

So `shop:v3-errors5-slow200` answers slowly, and wrongly one time in twenty. Health checks are requests whose User-Agent is
`ELB-HealthChecker/2.0`; errors and slowness do not apply to them. Every path answers with JSON: version, task, pid, method,
path, length of the body, headers of the request. `/slow/MS` answers after MS milliseconds. SIGTERM stops listening and lets
what has begun finish. With a command it is a job: it says what it runs and which environment variables it has, and exits
(essential containers of a service serve all the same: a service whose tasks end would have no end).
"""

import argparse
import asyncio
import json
import os
import re
import signal
import sys
import time

CHECKER = "ELB-HealthChecker/2.0"
JOB_SECONDS = 0.3
PR_SET_PDEATHSIG = 1
WORDS = ("errors", "slow", "crash", "late")
FLAGS = ("unhealthy", "flaps", "badjob")
TRACE = """Traceback (most recent call last):
  File "/srv/main.py", line 12, in <module>
    main()
  File "/srv/main.py", line 8, in main
    settings = load(os.environ)
RuntimeError: cannot start: {version} is broken"""


def die_with(parent: int) -> None:
    """No task outlives the emulator, however that ends (Linux)."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(1)


def behaviour(tag: str) -> dict[str, int]:
    """The words of the tag that mean something, with their numbers (0 without one)."""
    found = {}
    for word in re.split(r"[-.]", tag):
        match = re.fullmatch(r"([a-z]+)(\d*)", word)
        if match and (match[1] in WORDS or word in FLAGS):
            found[match[1]] = int(match[2] or 0)
    return found


def say(text: str) -> None:
    print(text, flush=True)


def crash(version: str) -> None:
    say(TRACE.format(version=version))
    os._exit(1)


def job(arguments: argparse.Namespace, does: dict[str, int]) -> int:
    command = " ".join(arguments.command)
    say(f"job {command} of {arguments.tag}")
    say("environment: " + " ".join(sorted(set(os.environ) - {"LC_CTYPE"})))  # which Python adds by itself
    time.sleep(does.get("slow", JOB_SECONDS * 1000) / 1000)
    if "badjob" in does:
        say(f"error: {command} failed: relation \"orders\" does not exist")
        return 1
    return 0


class Server:
    """HTTP/1.1, as much of it as load balancers speak."""

    def __init__(self, arguments: argparse.Namespace, does: dict[str, int]):
        self.arguments, self.does = arguments, does
        self.owed = 0  # hundredths of an error
        self.idle: set[asyncio.StreamWriter] = set()
        self.connections: set[asyncio.Task] = set()
        self.stopping = asyncio.Event()

    async def serve(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stopping.set)
        if "crash" in self.does:
            loop.call_later(self.does["crash"], crash, self.arguments.tag)
        if "late" in self.does:
            say(f"{self.arguments.tag} listens in {self.does['late']} s")
            await self.waits(self.does["late"])
        address, ports = self.arguments.address, self.arguments.ports
        listening = []
        if not self.stopping.is_set():
            for port in ports:
                try:
                    listening.append(await asyncio.start_server(self.connection, address, port, backlog=512))
                except OSError as error:
                    say(f"cannot listen on {address}:{port}: {error.strerror} (without root, ports begin at 1024)")
                    os._exit(1)
            where = ", ".join(f"{address}:{port}" for port in ports)
            say(f"{self.arguments.tag} serves {where}" if ports else f"{self.arguments.tag} runs")
        await self.stopping.wait()
        for server in listening:
            server.close()
        for writer in list(self.idle):
            writer.close()
        if self.connections:
            await asyncio.wait(self.connections)
        say(f"{self.arguments.tag} ends")

    async def waits(self, seconds: float) -> None:
        """Waits, or ends early when the task is stopped."""
        try:
            await asyncio.wait_for(self.stopping.wait(), seconds)
        except asyncio.TimeoutError:
            pass

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.add(asyncio.current_task())
        try:
            while not self.stopping.is_set():
                self.idle.add(writer)
                head = await reader.readuntil(b"\r\n\r\n")
                self.idle.discard(writer)
                if not await self.answer(head, reader, writer):
                    break
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, ValueError):
            pass
        finally:
            self.idle.discard(writer)
            self.connections.discard(asyncio.current_task())
            writer.close()

    async def answer(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answers one request; says whether the connection stays."""
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, protocol = first.split(" ", 2)
        headers = {}
        for line in lines:
            name, found, value = line.partition(":")
            if found:
                headers[name.strip().lower()] = value.strip()
        if headers.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        length = await body_length(headers, reader)
        status = await self.status(path, headers)
        if status != 200:
            say(f'{method} {path} {status} "{headers.get("user-agent", "")}"')
        body = json.dumps({
            "version": self.arguments.tag,
            "task": self.arguments.task,
            "pid": os.getpid(),
            "method": method,
            "path": path,
            "length": length,
            "headers": headers,
        }).encode()
        keep = protocol == "HTTP/1.1" and headers.get("connection", "").lower() != "close" and not self.stopping.is_set()
        answer = (
            f"HTTP/1.1 {status} {'OK' if status == 200 else 'Internal Server Error'}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            f"X-Version: {self.arguments.tag}\r\nX-Task: {self.arguments.task}\r\n"
            f"Connection: {'keep-alive' if keep else 'close'}\r\n\r\n"
        ).encode()
        writer.write(answer if method == "HEAD" else answer + body)
        await writer.drain()
        return keep

    async def status(self, path: str, headers: dict[str, str]) -> int:
        """The status that the tag asks for, after the time that it asks for."""
        if headers.get("user-agent") == CHECKER:
            return 500 if "unhealthy" in self.does or ("flaps" in self.does and int(time.time()) % 2) else 200
        asked = re.match(r"/slow/(\d+)", path)
        milliseconds = int(asked[1]) if asked else self.does.get("slow", 0)
        if milliseconds:
            await asyncio.sleep(milliseconds / 1000)
        self.owed += self.does.get("errors", 0)
        if self.owed >= 100:
            self.owed -= 100
            return 500
        return 200


async def body_length(headers: dict[str, str], reader: asyncio.StreamReader) -> int:
    """Reads the body and forgets it."""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        length = 0
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            await skip(reader, size + 2)
            length += size
        while await reader.readuntil(b"\r\n") != b"\r\n":
            pass
        return length
    length = int(headers.get("content-length") or 0)
    await skip(reader, length)
    return length


async def skip(reader: asyncio.StreamReader, size: int) -> None:
    while size:
        read = await reader.read(min(size, 65536))
        if not read:
            raise ConnectionResetError
        size -= len(read)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--tag", required=True)
    parser.add_argument("--task", required=True)
    parser.add_argument("--address", required=True)
    parser.add_argument("--port", dest="ports", type=int, action="append", default=[])
    parser.add_argument("--job", action="store_true")
    parser.add_argument("command", nargs="*")
    arguments = parser.parse_args()
    die_with(arguments.parent)
    does = behaviour(arguments.tag)
    if does.get("crash") == 0:
        crash(arguments.tag)
    if arguments.job:
        sys.exit(job(arguments, does))
    asyncio.run(Server(arguments, does).serve())


if __name__ == "__main__":
    main()
