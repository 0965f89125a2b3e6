"""uWebSockets (C++) under Python: socketify, whose publish() runs in C++."""

import json
import os

from socketify import App, CompressOptions, OpCode  # type: ignore[import-not-found]

app = App()


def message(socket, raw, opcode):  # type: ignore[no-untyped-def]
    request = json.loads(raw)
    if request["type"] == "subscribe":
        socket.subscribe(request["channel"])
        socket.send('{"type":"subscribed"}', OpCode.TEXT)
    else:
        text = json.dumps({"type": "message", "channel": request["channel"], "data": request["data"]})
        app.publish(request["channel"], text, OpCode.TEXT)


options = {
    "compression": CompressOptions.DISABLED,
    "max_payload_length": 1 << 20,
    "idle_timeout": 120,
    "max_backpressure": 64 << 20,
    "message": message,
}
app.ws("/*", options)
app.listen(int(os.environ["PORT"]))
app.run()
