from flask import Flask, request

from ratelimit.contrib.flask_limiter import Limiter

app = Flask(__name__)
limiter = Limiter(
    lambda: request.remote_addr,
    app=app,
    default_limits=["100/day"],
    storage_uri="ratelimit://shared/example",
)


@app.get("/")
def home():
    return "hello\n"
