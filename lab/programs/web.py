"""nginx as far as a test needs it: the files of its document root, by GET and HEAD."""

from __future__ import annotations

import mimetypes
import urllib.parse
from email.utils import formatdate

from aiohttp import web

from lab.programs.listeners import Listeners
from lab.programs.program import Container

_ROOT = "/usr/share/nginx/html"
_PAGE = "<html>\r\n<head><title>{0}</title></head>\r\n<body>\r\n<center><h1>{0}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
_WELCOME = "<!DOCTYPE html>\n<html>\n<head>\n<title>Welcome to nginx!</title>\n</head>\n<body>\n<h1>Welcome to nginx!</h1>\n</body>\n</html>\n"


class Nginx:
    """The image's program: serves /usr/share/nginx/html on port 80, or on the port in the environment's NGINX_PORT."""

    async def run(self, container: Container) -> int:
        """Serve until told to stop."""
        listeners = Listeners(container)

        async def serve(request: web.BaseRequest) -> web.StreamResponse:
            answer = _answer(container, request)
            container.log(f'{request.remote} - - "{request.method} {request.path_qs} HTTP/1.1" {answer.status} {answer.content_length or 0}')
            return answer

        try:
            await listeners.serve_http(int(container.env.get("NGINX_PORT", "80")), serve)
        except OSError as error:
            container.log(f"nginx: [emerg] bind() failed ({error})")
            return 1
        try:
            await container.stopping.wait()
        finally:
            await listeners.close()
        return 0


def _answer(container: Container, request: web.BaseRequest) -> web.Response:
    if request.method not in ("GET", "HEAD"):
        return _page(405, "405 Not Allowed")
    root = container.path(_ROOT).resolve()
    path = urllib.parse.unquote(request.path)
    file = container.path(f"{_ROOT}/{path.lstrip('/')}")
    if file.is_dir():
        file = file / "index.html"
    try:
        body = file.read_bytes() if file.resolve().is_relative_to(root) else None
    except OSError:
        body = None
    if body is None:
        if path in ("/", "/index.html") and not root.exists():
            return web.Response(text=_WELCOME, content_type="text/html", headers={"Server": "nginx"})
        return _page(404, "404 Not Found")
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    modified = formatdate(file.stat().st_mtime, usegmt=True)
    return web.Response(body=body, headers={"Content-Type": kind, "Server": "nginx", "Last-Modified": modified})


def _page(status: int, title: str) -> web.Response:
    return web.Response(status=status, text=_PAGE.format(title), content_type="text/html", headers={"Server": "nginx"})
