"""What is masked in the log, in both forms of it, by whatever part it is logged."""

from __future__ import annotations

import json
import logging
from base64 import urlsafe_b64encode
from typing import Any

import pytest
import structlog
from hypothesis import assume, given
from hypothesis import strategies as st

from server.logs.configure import configure_logs
from server.logs.masking import _FORMS, MASK, MAX_TEXT, mask, masked, without_secrets
from tests.support.values.tokens import token

KEY = "sk_0123456789ab_" + "f" * 70
SECRETS = {
    "token": token(sub="ada"),
    "API key": KEY,
    "URL": "postgresql://ada:s3cr3t-w0rd@db.example/app",
    "URL with an odd password": "postgresql://ada:s3cr3t:w0rd@x@db.example/app",
    "conninfo": "host=db user=ada password=s3cr3t-w0rd dbname=app",
    "quoted conninfo": r"host=db password='s3cr3t \' w0rd' dbname=app",
    "query": "GET /realtime?format=json&token=s3cr3t-w0rd HTTP/1.1",
    "key in a query": "https://auth.example/judge?apiKey=s3cr3t-w0rd#part",
    "header": "Authorization: Bearer s3cr3t-w0rd",
    "private key": "-----BEGIN EC PRIVATE KEY-----\ns3cr3t\nw0rd\n-----END EC PRIVATE KEY-----",
}
PARTS = ("s3cr3t", "w0rd", "f" * 20, token(sub="ada").split(".")[2], token(sub="ada").split(".")[1])


@pytest.mark.parametrize("format", ["console", "json"])
@pytest.mark.parametrize("kind", sorted(SECRETS))
def test_a_secret_is_masked_in_names_fields_nested_values_and_tracebacks(
    kind: str, format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs("debug", format)
    text = f"before {SECRETS[kind]} after"
    log = structlog.get_logger("realtime.test")
    log.info(text)
    log.info("field_event", error=text)
    log.info("nested_event", options={"list": [text, {"deep": (text,)}]})
    log.info("object_event", error=ValueError(text))
    logging.getLogger("uvicorn.error").warning("of the library: %s", text)
    try:
        raise ValueError(text)
    except ValueError as error:
        log.error("failed", exc_info=error)
        logging.getLogger("uvicorn.error").exception("failed too")
    shown = capsys.readouterr().err
    assert shown.count("before") >= 7, shown
    assert "field_event" in shown
    for part in PARTS:
        assert part not in shown


@pytest.mark.parametrize(
    "header",
    [
        '{"alg":"HS256"}',
        '{ "alg": "HS256" }',
        '{  "alg":"HS256"}',
        '{\t"alg":"HS256"}',
        '{\n  "alg": "HS256"\n}',
        '{\r\n"alg":"HS256"}',
        '{"\\u0061lg":"HS256"}',
        '{"1":1,"alg":"HS256"}',
        '{"é":1,"alg":"HS256"}',
        '{"語":1,"alg":"HS256"}',
    ],
)
@pytest.mark.parametrize("before", ["", " ", "=", "a.", '"', "/"])
def test_a_token_is_masked_however_its_header_is_written(header: str, before: str) -> None:
    first = urlsafe_b64encode(header.encode()).decode().rstrip("=")
    _, payload, signature = token(sub="ada").split(".")
    for text in (f"{first}.{payload}.{signature}", f"{first}.{payload}.iv.{payload}.{signature}"):
        assert masked(f"{before}{text} after") == f"{before}{MASK} after"


@pytest.mark.parametrize(
    "name", ["token", "auth_token", "password", "dsn", "rest_key", "api-key", "Authorization", "db_dsn"]
)
def test_a_field_that_is_named_as_a_secret_has_no_value(name: str) -> None:
    assert mask(None, "", {"event": "e", name: "anything"})[name] == MASK
    assert mask(None, "", {"event": "e", "of": {name: ["anything"]}})["of"][name] == MASK


@pytest.mark.parametrize(
    "text",
    [
        "the query has more than 5 rows; add a limit",
        "https://auth.example:8080/path@v2?format=json&since=0/1",
        "publication bunbase_realtime, slot realtime_1, key=value of sk_none",
        "Bearer of news",
        "eyJust a word",
        "ewok-village and eyAlike, ewoks.org, eyesight-and-more.example.org",
        "chat:room-1 user ada@example.com",
    ],
)
def test_other_text_is_left_as_it_is(text: str) -> None:
    assert masked(text) == text


def test_other_fields_keep_their_values_and_types() -> None:
    event: dict[str, Any] = {"event": "e", "key": "q:1", "keys": 3, "token_count": 2, "secret": False, "password": ""}
    assert mask(None, "", dict(event)) == event


def test_the_identifier_of_an_api_key_stays_visible() -> None:
    assert masked(KEY) == f"sk_0123456789ab_{MASK}"


def test_a_text_is_cut_off() -> None:
    assert masked("x" * (MAX_TEXT + 5)) == "x" * MAX_TEXT + " [5 more characters]"


@pytest.mark.parametrize(
    "part",
    [
        "a-",
        "a://a:",
        "eyJ-",
        "eyA-",
        "ewo-x.",
        "eyAAAAAA.",
        "password='",
        "-----BEGIN PRIVATE KEY-----",
        "bearer  ",
        "&key=",
        "sk_",
    ],
)
@pytest.mark.timeout(30)
def test_masking_takes_time_linear_in_the_text(part: str) -> None:
    """Each pattern gives up after a bounded number of characters, or matches: a regular expression that does not takes
    minutes for this text, and others a tenth of a second.
    """
    without_secrets(part * (300_000 // len(part)))


@given(st.text(max_size=200))
def test_any_text_can_be_masked_and_logged_as_json(text: str) -> None:
    json.dumps(mask(None, "", {"event": text, "f": [text, {text: text}]}))


@pytest.mark.parametrize("number", range(len(_FORMS)))
@given(data=st.data())
def test_no_form_of_a_secret_escapes_the_quick_look(number: int, data: st.DataObject) -> None:
    """It is what spares most texts the search for each form."""
    form, _ = _FORMS[number]
    text = data.draw(st.from_regex(form.pattern.replace("*+", "*").replace("}+", "}")))
    assume(form.search(text))
    assert MASK in masked(text)[: MAX_TEXT + 100] or len(text) > MAX_TEXT
    assert (
        MASK in str(mask(None, "", {"event": "e", "n": 1, "text": text, "more": "x"})["text"]) or len(text) > MAX_TEXT
    )


def test_an_event_without_anything_to_mask_is_passed_as_it_is() -> None:
    event = {"event": "connection_opened", "user": "ada", "code": 1000, "token_count": None, "more": True}
    assert mask(None, "", dict(event)) == event
    for field, value in (("text", f"a {KEY}"), ("of", {"key": f"a {KEY}"}), ("token", 12), ("x", "y" * (MAX_TEXT + 1))):
        assert mask(None, "", {**event, field: value}) != {**event, field: value}
