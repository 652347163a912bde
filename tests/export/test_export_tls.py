from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import grpc
import pytest
import trustme
from export_samples import payload
from receivers import GrpcReceiver, HttpReceiver

from bridge.errors import SettingsError
from bridge.export.answers import Accepted, Answer, Denied, Retryable, Signal
from bridge.export.endpoint import Endpoint
from bridge.export.sink import open_sink

PAYLOAD = payload(1)
PROTOCOLS: tuple[Literal["http/protobuf", "grpc"], ...] = ("http/protobuf", "grpc")


@dataclass(frozen=True)
class Files:
    """Certificates on disk, as a user has them."""

    authority: trustme.CA
    server: trustme.LeafCert
    ca_file: Path
    certificate: Path
    key: Path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    ours = authority.issue_cert("bridge@example.test")
    made = Files(
        authority, authority.issue_cert("127.0.0.1"), folder / "ca.pem", folder / "ours.pem", folder / "ours.key"
    )
    authority.cert_pem.write_to_path(made.ca_file)
    ours.cert_chain_pems[0].write_to_path(made.certificate)
    ours.private_key_pem.write_to_path(made.key)
    return made


@asynccontextmanager
async def secure_receiver(
    protocol: str, files: Files, *, asks_for_ours: bool
) -> AsyncIterator[HttpReceiver | GrpcReceiver]:
    if protocol == "grpc":
        pair = (files.server.private_key_pem.bytes(), files.server.cert_chain_pems[0].bytes())
        root = files.authority.cert_pem.bytes() if asks_for_ours else None
        credentials = grpc.ssl_server_credentials([pair], root, require_client_auth=asks_for_ours)
        async with GrpcReceiver(credentials=credentials) as receiver:
            yield receiver
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        files.server.configure_cert(context)
        if asks_for_ours:
            files.authority.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        async with HttpReceiver(tls=context) as http_receiver:
            yield http_receiver


async def answer_of(receiver: HttpReceiver | GrpcReceiver, *, scheme: str = "https://", **settings: Any) -> Answer:
    sink = open_sink(Endpoint(url=f"{scheme}127.0.0.1:{receiver.port}", timeout=5, **settings), None)
    try:
        return await sink.send(Signal.TRACES, PAYLOAD)
    finally:
        await sink.close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_server_of_our_own_ca(protocol: str, files: Files) -> None:
    async with secure_receiver(protocol, files, asks_for_ours=False) as receiver:
        assert await answer_of(receiver, protocol=protocol, ca_file=files.ca_file) == Accepted()
        assert receiver.requests[0].body == PAYLOAD


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_server_that_asks_for_our_certificate(protocol: str, files: Files) -> None:
    async with secure_receiver(protocol, files, asks_for_ours=True) as receiver:
        answer = await answer_of(
            receiver,
            protocol=protocol,
            ca_file=files.ca_file,
            client_certificate=files.certificate,
            client_key=files.key,
        )
        assert answer == Accepted()


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_server_whose_ca_nobody_knows(protocol: str, files: Files) -> None:
    async with secure_receiver(protocol, files, asks_for_ours=False) as receiver:
        answer = await answer_of(receiver, protocol=protocol)
    assert isinstance(answer, Denied | Retryable)
    assert "CERTIFICATE_VERIFY_FAILED" in answer.reason
    assert receiver.requests == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_without_the_certificate_that_the_server_wants(protocol: str, files: Files) -> None:
    async with secure_receiver(protocol, files, asks_for_ours=True) as receiver:
        answer = await answer_of(receiver, protocol=protocol, ca_file=files.ca_file)
    assert isinstance(answer, Denied | Retryable)
    assert receiver.requests == []


async def test_over_http_an_unknown_ca_is_the_operators_business(files: Files) -> None:
    async with secure_receiver("http/protobuf", files, asks_for_ours=False) as receiver:
        answer = await answer_of(receiver)
    assert isinstance(answer, Denied)
    assert "check the scheme and the certificates" in answer.reason


async def test_https_to_a_plain_port() -> None:
    async with HttpReceiver() as receiver:
        answer = await answer_of(receiver)
    assert isinstance(answer, Denied)
    assert "TLS with https://127.0.0.1" in answer.reason


async def test_a_grpc_target_without_scheme_is_not_plain_text(files: Files) -> None:
    async with secure_receiver("grpc", files, asks_for_ours=False) as receiver:
        assert await answer_of(receiver, scheme="", protocol="grpc", ca_file=files.ca_file) == Accepted()
    async with GrpcReceiver() as plain:
        assert isinstance(await answer_of(plain, scheme="", protocol="grpc"), Retryable)
        assert await answer_of(plain, scheme="", protocol="grpc", insecure=True) == Accepted()


@pytest.mark.parametrize("scheme", ["https://", "HTTPS://"])
async def test_a_scheme_wins_over_insecure(scheme: str, files: Files) -> None:
    async with secure_receiver("grpc", files, asks_for_ours=False) as receiver:
        answer = await answer_of(receiver, scheme=scheme, protocol="grpc", ca_file=files.ca_file, insecure=True)
    assert answer == Accepted()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("wrong", ["missing CA", "CA without certificate", "missing key", "wrong key"])
def test_a_certificate_that_cannot_be_used_is_a_setting(
    protocol: Literal["http/protobuf", "grpc"], wrong: str, files: Files, tmp_path: Path
) -> None:
    path = tmp_path / "file.pem"
    settings: dict[str, Path] = {"client_certificate": files.certificate, "client_key": path}
    if "CA" in wrong:
        settings = {"ca_file": path}
    if wrong == "CA without certificate":
        path.write_text("no certificate\n")
    if wrong == "wrong key":
        files.server.private_key_pem.write_to_path(path)
    with pytest.raises(SettingsError, match=r"file\.pem"):
        open_sink(Endpoint(url="https://localhost", protocol=protocol, **settings), None)  # type: ignore[arg-type]


def test_half_a_client_certificate_is_a_setting(files: Files) -> None:
    with pytest.raises(SettingsError, match="both the certificate file and its key file"):
        Endpoint(url="https://localhost", client_key=files.key)
