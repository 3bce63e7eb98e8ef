"""The explorer's page and its JSON endpoints, for this machine alone.

Starlette and uvicorn: small, kept by those who keep httpx, and with what a page that is reachable by other pages of the
same browser must have – a check of the host asked for, one place for errors, an orderly end. `http.server` says of
itself that it is not for more than trying out; Gradio and Streamlit bring their own look and load it from elsewhere.
"""

from __future__ import annotations

import math
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anisoalign.embeddings import InputError
from anisoalign.explore.session import POOLS, Session
from anisoalign.report.gap_charts import cosine_legend
from anisoalign.report.page import environment, script_hash

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request

_FOLDER = Path(__file__).parent
LOOPBACK = "127.0.0.1"
_LONGEST = 200  # characters of a search


def application(session: Session) -> Starlette:
    """The ASGI application: `/`, `/api/texts` and `/api/state`.

    Raises
    ------
    InputError
        If starlette is not installed.
    """
    try:
        from starlette.applications import Starlette
        from starlette.middleware import Middleware
        from starlette.middleware.trustedhost import TrustedHostMiddleware
        from starlette.responses import HTMLResponse, JSONResponse
        from starlette.routing import Route
    except ImportError as error:
        raise InputError('the explorer needs starlette and uvicorn: pip install "anisoalign[explore]"') from error
    html, policy = _page(session)

    def page(request: Request) -> HTMLResponse:
        return HTMLResponse(html, headers={"Content-Security-Policy": policy, "Cache-Control": "no-store"})

    def texts(request: Request) -> JSONResponse:
        asked = _only(request, {"search", "offset"})
        search = asked.get("search", "")
        if len(search) > _LONGEST:
            raise InputError(f"search is longer than {_LONGEST} characters")
        return JSONResponse(session.texts(search, _whole("offset", asked.get("offset", "0"), 10**9)))

    def state(request: Request) -> JSONResponse:
        asked = _only(request, {"strength", "index", "pool"})
        pool = asked.get("pool", POOLS[0])
        if pool not in POOLS:
            raise InputError(f"pool is one of {', '.join(POOLS)}, not {pool!r}")
        index = _whole("index", asked.get("index", "0"), len(session.y) - 1)
        return JSONResponse(session.state(_strength(asked, session), index, pool))

    def refuse(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": str(error)}, status_code=422)

    return Starlette(
        routes=[Route("/", page), Route("/api/texts", texts), Route("/api/state", state)],
        # A name that someone else's page gave to 127.0.0.1 is refused.
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=[LOOPBACK, "localhost"])],
        exception_handlers={InputError: refuse},
    )


def bind(port: int) -> socket.socket:
    """A socket that listens on the loopback address; port 0 takes a free one.

    Whoever asks before the server answers is kept waiting, not refused.

    Raises
    ------
    InputError
        If the port is taken.
    """
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((LOOPBACK, port))
        made.listen()  # a port that is bound and no more could be bound once again
    except OSError as error:
        made.close()
        raise InputError(f"port {port} cannot be used ({error.strerror}); --port 0 takes a free one") from error
    return made


def serve(session: Session, opened: socket.socket) -> None:
    """Answer until interrupted."""
    import uvicorn

    config = uvicorn.Config(application(session), log_level="warning", lifespan="off", server_header=False)
    uvicorn.Server(config).run(sockets=[opened])


def _page(session: Session) -> tuple[str, str]:
    from jinja2 import ChoiceLoader, FileSystemLoader

    report = Path(__file__).parents[1] / "report"
    script = (report / "page.js").read_text(encoding="utf-8") + (_FOLDER / "explore.js").read_text(encoding="utf-8")
    templates = environment()
    templates.loader = ChoiceLoader([FileSystemLoader(_FOLDER), FileSystemLoader(report)])
    names = session.shown.names
    html = templates.get_template("explore.html.jinja").render(
        title=f"{session.model.name}, explored",
        about=session.about(),
        dial=session.dial,
        strength=session.strength,
        source=names["source"],
        target=names["target"],
        legend_items=cosine_legend(session.paired, names["source"], names["target"]),
        style=(report / "page.css").read_text(encoding="utf-8") + (_FOLDER / "explore.css").read_text(encoding="utf-8"),
        script=script,
    )
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'; "
        f"script-src '{script_hash(script)}'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )
    return html, policy


def _only(request: Request, known: set[str]) -> dict[str, str]:
    asked = dict(request.query_params)
    unknown = sorted(set(asked) - known)
    if unknown:
        raise InputError(f"unknown parameter {unknown[0]!r}; known are {', '.join(sorted(known))}")
    return asked


def _whole(name: str, text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 12 and int(text) <= most):
        raise InputError(f"{name} is a whole number from 0 to {most}, not {text!r}")
    return int(text)


def _strength(asked: dict[str, Any], session: Session) -> float:
    text = asked.get("strength")
    if text is None or not session.dial:
        return session.strength
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 <= value <= 1.0:
        raise InputError(f"strength is a number from 0 to 1, not {text!r}")
    return round(value, 3)
