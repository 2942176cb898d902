"""The line protocol of clients/driver.go for Python clients: one JSON command a line in, one or more JSON answers a line out."""
import base64
import json
import sys
import threading

lock = threading.Lock()


def say(answer):
    with lock:
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def raw(text):
    return None if text is None else base64.b64decode(text)


def text(data):
    return None if data is None else base64.b64encode(data).decode()


def record(r):
    """A record of a command as (partition, timestamp, key, value, headers)."""
    headers = [(h["k"], raw(h["v"])) for h in r.get("h") or []]
    return r["p"], r["t"], raw(r["k"]), raw(r["v"]), headers


def serve(operations):
    for line in sys.stdin:
        command = json.loads(line)
        done = {"done": True}
        try:
            operations[command["op"]](command, done)
        except Exception as e:  # every failure of a client is an answer, the test judges it
            done["error"] = f"{type(e).__name__}: {e}"
        say(done)
