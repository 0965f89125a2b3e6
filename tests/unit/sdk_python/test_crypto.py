"""End-to-end encryption: the two SDKs understand each other, and what was changed is not read."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bunbase import Encryption
from bunbase.protocol.crypto import DecryptionError

SHARED = json.loads((Path(__file__).parents[2] / "support" / "e2ee_vectors.json").read_text())
VECTORS: list[dict[str, Any]] = SHARED["vectors"]
KEYS: dict[str, str] = SHARED["keys"]

# WebCrypto itself, without either SDK: what a third party would write from the documentation.
WEB_CRYPTO = """
const { keys, vectors } = JSON.parse(require("fs").readFileSync(0, "utf8"));
const bytes = (text) => Buffer.from(text, "base64url");
const text = (raw) => Buffer.from(raw).toString("base64url");
(async () => {
  const made = [];
  for (const { channel, event, data, envelope } of vectors) {
    const { kid, iv, ct } = envelope;
    const key = await crypto.subtle.importKey("raw", bytes(keys[kid]), "AES-GCM", false, ["encrypt", "decrypt"]);
    const how = (iv) => ({ name: "AES-GCM", iv, additionalData: Buffer.from(`${channel}\\n${event}\\n${kid}`) });
    const opened = Buffer.from(await crypto.subtle.decrypt(how(bytes(iv)), key, bytes(ct)));
    if (JSON.stringify(JSON.parse(opened)) !== JSON.stringify(data)) throw new Error(`${channel} ${event}`);
    const fresh = crypto.getRandomValues(new Uint8Array(12));
    const sealed = await crypto.subtle.encrypt(how(fresh), key, Buffer.from(JSON.stringify(data)));
    made.push({ e2ee: 1, kid, iv: text(fresh), ct: text(sealed) });
  }
  console.log(JSON.stringify(made));
})();
"""


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['event']}-{vector['envelope']['kid']}")
def test_the_shared_vectors_are_made_and_opened(vector: dict[str, Any]) -> None:
    channel, event, envelope = vector["channel"], vector["event"], vector["envelope"]
    encryption = Encryption(envelope["kid"], KEYS)
    assert encryption.decrypt(channel, event, envelope) == vector["data"]
    nonce = base64.urlsafe_b64decode(envelope["iv"] + "=" * (-len(envelope["iv"]) % 4))
    assert encryption.encrypt(channel, event, vector["data"], nonce=nonce) == envelope


def test_web_crypto_opens_what_python_made_and_the_other_way_round() -> None:
    if shutil.which("node") is None:
        pytest.skip("Node is not installed")
    done = subprocess.run(
        ["node", "-e", WEB_CRYPTO], input=json.dumps(SHARED), capture_output=True, text=True, check=True
    )
    for vector, envelope in zip(VECTORS, json.loads(done.stdout), strict=True):
        opened = Encryption("k1", KEYS).decrypt(vector["channel"], vector["event"], envelope)
        assert opened == vector["data"]


def test_another_channel_event_or_key_and_a_changed_byte_are_noticed() -> None:
    encryption = Encryption("k1", KEYS)
    envelope = encryption.encrypt("c", "e", {"n": 1})
    other = Encryption("k1", {"k1": b"x" * 32})
    flipped = ("B" if envelope["ct"][0] == "A" else "A") + envelope["ct"][1:]
    attempts: list[Callable[[], object]] = [
        lambda: encryption.decrypt("d", "e", envelope),
        lambda: encryption.decrypt("c", "f", envelope),
        lambda: encryption.decrypt("c", "e", {**envelope, "kid": "k2"}),
        lambda: encryption.decrypt("c", "e", {**envelope, "kid": "k9"}),
        lambda: encryption.decrypt("c", "e", {**envelope, "ct": flipped}),
        lambda: encryption.decrypt("c", "e", {**envelope, "ct": "?"}),
        lambda: encryption.decrypt("c", "e", {**envelope, "iv": ""}),
        lambda: encryption.decrypt("c", "e", {**envelope, "e2ee": 2}),
        lambda: encryption.decrypt("c", "e", {"text": "plain"}),
        lambda: other.decrypt("c", "e", envelope),
    ]
    for wrong in attempts:
        with pytest.raises(DecryptionError):
            wrong()
    assert Encryption("k1", KEYS, allow_plaintext=True).decrypt("c", "e", {"text": "plain"}) == {"text": "plain"}


def test_no_nonce_is_used_twice() -> None:
    encryption = Encryption("k1", KEYS)
    assert len({encryption.encrypt("c", "e", None)["iv"] for _ in range(1000)}) == 1000


def test_keys_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="k2"):
        Encryption("k2", {"k1": b"1" * 32})
    with pytest.raises(ValueError, match="31 bytes"):
        Encryption("k1", {"k1": b"1" * 31})
    with pytest.raises(ValueError, match="base64"):
        Encryption("k1", {"k1": "not base64!"})
