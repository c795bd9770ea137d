"""Stands between a node and its explorer and changes what the node reads."""
import http.client
import http.server
import socket
import threading

from load import enter


class Proxy:
    """Passes everything on; bodies of answers to GET go through `change(path, body)`.

    `instead(handler)` may answer itself, and then returns True; with `tls` (a context) the node is spoken to by TLS."""

    def __init__(self, namespace, listen, to, change=lambda path, body: body, tls=None):
        self.server = None
        self.instead = None
        self.asked = 0  # Connections and requests that came.
        self.open = set()
        ready = threading.Event()
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def pass_on(self):
                proxy.asked += 1
                if proxy.instead and proxy.instead(self):
                    self.close_connection = True
                    return
                size = int(self.headers.get("Content-Length", "0"))
                body = self.rfile.read(size) if size else None
                explorer = http.client.HTTPConnection(*to, timeout=60)
                try:
                    explorer.request(self.command, self.path, body, dict(self.headers))
                    answer = explorer.getresponse()
                    text = answer.read()
                    if self.command == "GET" and answer.status == 200:
                        text = change(self.path, text)
                    self.send_response(answer.status)
                    for name, value in answer.getheaders():
                        if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                            self.send_header(name, value)
                    if answer.status not in (204, 304):
                        self.send_header("Content-Length", str(len(text)))
                    self.end_headers()
                    self.wfile.write(text)
                except OSError:
                    self.close_connection = True
                finally:
                    explorer.close()

            do_GET = do_POST = do_PUT = do_DELETE = pass_on

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def process_request_thread(self, request, address):
                enter(namespace)
                proxy.open.add(request)
                try:
                    spoken = tls.wrap_socket(request, server_side=True) if tls else request
                except OSError:
                    proxy.asked += 1
                    self.shutdown_request(request)
                    return
                super().process_request_thread(spoken, address)
                proxy.open.discard(request)

            def handle_error(self, *_):
                pass  # The node hung up.

        def work():
            enter(namespace)
            self.server = Server(listen, Handler)
            ready.set()
            self.server.serve_forever(0.05)

        threading.Thread(target=work, daemon=True).start()
        if not ready.wait(10):
            raise OSError(f"nothing listens at {listen}")

    def hang_up(self):
        """Whoever is connected must come again."""
        for connection in list(self.open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
