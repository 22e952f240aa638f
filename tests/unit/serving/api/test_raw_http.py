"""The API behind a real HTTP server, spoken to byte by byte: old clients, impatient ones and hostile ones."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
import uvicorn
from scripted_api import CONTEXT, ScriptedApi, chat
from scripted_model import ScriptedModel


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    scripted = ScriptedApi()
    scripted.begin(ScriptedModel(max_seq_len=CONTEXT))
    server = uvicorn.Server(uvicorn.Config(scripted.app, log_level="critical", lifespan="off"))
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join(20)


def said(port: int, request: bytes, *, until: bytes = b"") -> bytes:
    """All that the server answers, up to its end of the connection or to what is waited for."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=20)) as connection:
        connection.sendall(request)
        answer = b""
        while not (until and until in answer) and (some := connection.recv(65536)):
            answer += some
    return answer


def request(body: bytes, *headers: str, version: str = "1.1", path: str = "/v1/chat/completions") -> bytes:
    told = ["Host: x", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([f"POST {path} HTTP/{version}", *told, "", ""]).encode() + body


BODY = json.dumps(chat(), indent=1).replace("\n", "\r\n").encode()


@pytest.mark.parametrize(
    ("version", "headers"),
    [("1.0", ()), ("1.1", ("Connection: close",)), ("1.1", ("Connection: close", "Accept-Encoding: gzip, br"))],
)
@pytest.mark.parametrize("stream", [False, True])
def test_old_and_plain_clients_get_whole_answers(
    port: int, version: str, headers: tuple[str, ...], stream: bool
) -> None:
    body = BODY if not stream else json.dumps(chat(stream=True)).encode()
    head, _, answer = said(port, request(body, *headers, version=version)).partition(b"\r\n\r\n")
    assert b" 200 " in head
    assert b"content-encoding" not in head.lower()
    assert b"user=hello" in answer
    assert (b"data: [DONE]" in answer) == stream


def test_a_client_that_waits_to_be_asked_for_its_body_is_asked(port: int) -> None:
    with closing(socket.create_connection(("127.0.0.1", port), timeout=20)) as connection:
        connection.sendall(request(b"", "Expect: 100-continue").replace(b"Length: 0", b"Length: %d" % len(BODY)))
        assert connection.recv(1000).startswith(b"HTTP/1.1 100")
        connection.sendall(BODY)
        assert b"user=hello" in connection.recv(65536)


def test_one_whose_body_is_too_large_is_refused_instead(port: int) -> None:
    answer = said(port, request(b"", "Expect: 100-continue").replace(b"Length: 0", b"Length: 62914560"))
    assert answer.startswith(b"HTTP/1.1 413")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["type"] == "invalid_request_error"


def test_others_are_answered_while_a_body_does_not_end(port: int) -> None:
    with closing(socket.create_connection(("127.0.0.1", port), timeout=20)) as slow:
        slow.sendall(request(BODY)[:-1])
        assert b"user=hello" in said(port, request(BODY, "Connection: close"))
        slow.sendall(BODY[-1:])
        assert b"user=hello" in slow.recv(65536)


def test_a_half_closed_connection_is_answered_or_dropped_and_the_server_lives(port: int) -> None:
    with closing(socket.create_connection(("127.0.0.1", port), timeout=20)) as half:
        half.sendall(request(BODY))
        half.shutdown(socket.SHUT_WR)
        while half.recv(65536):
            pass
    assert b"user=hello" in said(port, request(BODY, "Connection: close"))


@pytest.mark.parametrize(
    "flood",
    [
        b"".join(b"x-h%d: %b\r\n" % (i, b"y" * 100) for i in range(2000)),
        b"x-long: " + b"y" * 200_000 + b"\r\n",
        b"bad header line\r\n",
        b"x-nul: a\x00b\r\n",
    ],
    ids=["many", "long", "broken", "nul"],
)
def test_a_flood_of_headers_is_no_server_error(port: int, flood: bytes) -> None:
    sent = request(BODY, "Connection: close").replace(b"Host: x\r\n", b"Host: x\r\n" + flood)
    try:
        answer = said(port, sent)
    except ConnectionError:  # refused while it was still sending
        answer = b""
    assert not answer.startswith(b"HTTP/1.1 5")
    assert b"user=hello" in said(port, request(BODY, "Connection: close"))
