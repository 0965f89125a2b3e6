"""``python -m examples [EXAMPLE ...]``: starts ``realtime dev``, brings the examples' tables into its database, and serves
their pages.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from psycopg.conninfo import make_conninfo
from psycopg_pool import ConnectionPool

from examples.back_end import BackEnd
from examples.bundles import build_pages
from examples.page_server import Pages, PageServer
from examples.realtime_server import BACK_END_ROLE, EXAMPLES, PAGES, RealtimeServer, RealtimeServerError
from examples.web_push import WebPush, vapid_key

__all__ = ["main"]

_READY = """
  Examples    {pages}
  Realtime    {url}
  psql        realtime psql --data-dir {postgres}

  Open an example in two tabs: each tab signs in by itself. Ctrl+C stops.
"""


def main() -> None:
    """Serve until interrupted. Exits with 1 if ``realtime dev`` does not start."""
    parser = argparse.ArgumentParser(prog="python -m examples", description="Serve the example applications.")
    names = [each.name for each in EXAMPLES]
    parser.add_argument("examples", nargs="*", metavar="EXAMPLE", help=f"one of {', '.join(names)} [default: all]")
    parser.add_argument("--port", type=int, help="of the pages [default: 8080, or the next free one]")
    parser.add_argument("--data-dir", type=Path, default=Path(".realtime/examples"), help="where the data is kept")
    parser.add_argument("--push-service", action="append", default=[], help=argparse.SUPPRESS)  # its origin, for tests
    given = parser.parse_args()
    if unknown := set(given.examples) - set(names):
        parser.error(f"there is no example {min(unknown)!r}: there are {', '.join(names)}")
    chosen = [each for each in EXAMPLES if each.name in (given.examples or names)]
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is ended then, too
    try:
        with RealtimeServer(given.data_dir) as realtime:
            realtime.run_sql([PAGES / "shared" / "roles.sql", *(example / "schema.sql" for example in chosen)])
            _serve(realtime, chosen, given)
    except KeyboardInterrupt:
        pass
    except RealtimeServerError as wrong:
        sys.exit(f"examples: {wrong}")


def _serve(realtime: RealtimeServer, examples: Sequence[Path], given: argparse.Namespace) -> None:
    built = given.data_dir / "pages"
    lacking = build_pages(examples, built)
    for example, reason in lacking.items():
        print(f"examples: {example} does not run: {reason}", file=sys.stderr, flush=True)
    served = Pages([each.name for each in examples], built, lacking)
    dsn = make_conninfo(realtime.dsn, user=BACK_END_ROLE)
    with ConnectionPool(dsn, min_size=1, max_size=4, check=ConnectionPool.check_connection, open=True) as pool:
        back_end = BackEnd(realtime.url, realtime.secret, pool)
        if PAGES / "feed" in examples:
            key = vapid_key(given.data_dir / "vapid.pem")
            back_end.push = WebPush(pool, dsn, key, given.push_service)
            threading.Thread(target=back_end.push.run, daemon=True).start()
        pages = _listen(back_end, served, given.port)
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        address = f"http://localhost:{pages.port}" + (f"/{examples[0].name}/" if len(examples) == 1 else "")
        print(_READY.format(pages=address, url=realtime.url, postgres=realtime.data_dir), flush=True)
        try:
            realtime.wait()
        finally:
            if back_end.push is not None:
                back_end.push.stop()
            pages.shutdown()
            pages.server_close()


def _listen(back_end: BackEnd, pages: Pages, port: int | None) -> PageServer:
    for candidate in range(8080, 8180) if port is None else (port,):
        try:
            return PageServer(candidate, back_end, pages)
        except OSError:
            continue
    raise RealtimeServerError("the port for the pages is taken: name another with --port")


if __name__ == "__main__":
    main()
