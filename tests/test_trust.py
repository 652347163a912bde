from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from bridge import trust
from bridge.errors import SettingsError


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)


def test_it_is_the_usual_authorities() -> None:
    assert trust.usual().cert_store_stats()["x509_ca"] > 50


def test_a_file_takes_their_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    assert trust.usual().cert_store_stats()["x509_ca"] == 1


def test_a_folder_takes_their_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert trust.usual().cert_store_stats()["x509_ca"] == 0


@pytest.mark.parametrize("written", [None, "no certificate"])
def test_a_file_that_is_none_is_a_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str | None
) -> None:
    file = tmp_path / "ca.pem"
    if written:
        file.write_text(written, encoding="utf-8")
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with pytest.raises(SettingsError, match=r"SSL_CERT_FILE: .*ca\.pem cannot be used"):
        trust.usual()
