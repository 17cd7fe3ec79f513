"""The listener of a server."""

import asyncio
import socket

from service.environment import bind


async def nodelay_of_a_connection() -> int:
    """What an accepted connection says of TCP_NODELAY."""
    found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection: socket.socket = writer.get_extra_info("socket")
        found.set_result(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()
        await writer.wait_closed()

    with bind("127.0.0.1", 0) as listener:
        async with await asyncio.start_server(accept, sock=listener) as server:
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            answer = await found
            writer.close()
            await writer.wait_closed()
    return answer


def test_an_answer_does_not_wait_for_the_acknowledgement_of_its_head() -> None:
    """Else each takes 40 ms: Nagle's algorithm at our end, delayed acknowledgements at the other."""
    assert asyncio.run(nodelay_of_a_connection())
