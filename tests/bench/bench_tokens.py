"""Tokens verified a second on one core, per algorithm, and the ratio to PyJWT alone.

*verify*: from the text of a token to the principal, with the key known, as for every connection. *library*: ``jwt.decode``
with the same key, the same checks. *refuse*: a token of an unknown issuer, and one that has expired, as a flood would bring.
Run with ``python -m tests.bench.bench_tokens``.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import jwt

from server.auth.refusal import AuthenticationError
from server.auth.tokens import TokenVerifier
from tests.bench.parts.report import report
from tests.support.values.tokens import AUDIENCE, ISSUER, LONG_SECRET, issuer, pem, private_key, token

SECONDS = 1.0


def rate(work: Callable[[], object]) -> float:
    """How often a second of processor time ``work`` can be done."""
    count, begin = 0, time.process_time()
    while (spent := time.process_time() - begin) < SECONDS:
        for _ in range(50):
            work()
        count += 50
    return count / spent


def refused(verifier: TokenVerifier, text: str) -> bool:
    """Verify a token that is not accepted."""
    try:
        verifier.verify_now(text)
    except AuthenticationError:
        return True
    raise AssertionError("it was accepted")


def main() -> None:
    """Measure and report."""
    rows: list[dict[str, object]] = []
    for algorithm in ("HS256", "HS512", "RS256", "PS256", "ES256", "EdDSA"):
        symmetric = algorithm.startswith("HS")
        key = {"secret": LONG_SECRET} if symmetric else {"public_key": pem(algorithm)}
        settings = issuer(algorithms=algorithm, **key)
        verifier = TokenVerifier([settings])
        text = token(
            algorithm, LONG_SECRET if symmetric else private_key(algorithm), email="ada@example.com", team="red"
        )
        [known] = settings.keys().find(algorithm, None)
        evil, old = token(iss="https://evil.example"), token(algorithm, private_key(algorithm), exp=1)
        verify = rate(lambda v=verifier, t=text: v.verify_now(t))  # type: ignore[misc]
        library = rate(lambda k=known, t=text, a=algorithm: jwt.decode(t, k.jwk, [a], audience=AUDIENCE, issuer=ISSUER))  # type: ignore[misc]
        refuse = rate(lambda v=verifier, one=evil, two=old: (refused(v, one), refused(v, two)))  # type: ignore[misc]
        rows.append(
            {
                "algorithm": algorithm,
                "verify/s": verify,
                "library/s": library,
                "ratio": verify / library,
                "refuse/s": refuse * 2,
            }
        )
    report("tokens", rows)


if __name__ == "__main__":
    main()
