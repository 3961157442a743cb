"""uvicorn's HTTP protocol with an end to a request's head, which httptools would collect for as long as it comes."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Bytes of a request's line and headers, and the number of headers, trailers included.
MAX_HEAD = 128 * 1024
MAX_HEADERS = 500


class BoundedHead(HttpToolsProtocol):
    """Refuses a head that is too long, and closes the connection; nobody has said yet who is asking."""

    _in_head = False
    _head_bytes = 0

    def on_message_begin(self) -> None:
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
        # There are no headers yet where nothing but empty lines has come.
        too_many = bool(self.headers) and len(self.headers) > MAX_HEADERS
        if (self._head_bytes > MAX_HEAD or too_many) and not self.transport.is_closing():
            self._in_head, self._head_bytes, self.headers = False, 0, []
            self.send_400_response("The head of the request is too long.")
