"""A steady rate of requests, whatever the answers take: what wrk does not offer."""

import asyncio
import time

CONNECTIONS = 16
REQUEST = b"GET /pets HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def drive(port, rate, seconds, sample=None):
    """Send `rate` requests a second for some seconds.

    Returns: sent, admitted, p99 (seconds, of the admitted), samples, one each second, and span: the least and the most
    seconds that can lie between the first decision and the last, as each was made between its request and its answer.
    """
    return asyncio.run(_drive(port, rate, seconds, sample))


async def _drive(port, rate, seconds, sample):
    times, samples = [], []
    counts = {"sent": 0, "admitted": 0}
    asked, answered = [], []  # moments, of the first and the last of each connection
    began = time.perf_counter()

    async def one(number):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        i = number
        while (due := i / rate) < seconds:
            await asyncio.sleep(max(0.0, began + due - time.perf_counter()))
            sent = time.perf_counter()
            writer.write(REQUEST)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
            await reader.readexactly(length)
            now = time.perf_counter()
            if i == number or (i + CONNECTIONS) / rate >= seconds:
                asked.append(sent)
                answered.append(now)
            counts["sent"] += 1
            if head.startswith(b"HTTP/1.1 200"):
                counts["admitted"] += 1
                times.append(now - sent)
            i += CONNECTIONS
        writer.close()

    async def watch():
        while sample is not None:
            samples.append(sample())
            await asyncio.sleep(1)

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(one(number) for number in range(CONNECTIONS)))
    watching.cancel()
    times.sort()
    span = max(asked) - min(answered), max(answered) - min(asked)
    return {**counts, "span": span, "p99": times[int(len(times) * 0.99)], "samples": samples}
