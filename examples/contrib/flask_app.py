from flask import Flask

from ratelimit.contrib.flask import Limiter

app = Flask(__name__)
limiter = Limiter(app, default="100/day", shared="example")


@app.get("/")
def home():
    return "hello\n"


@app.get("/search")
@limiter.limit("20/day")
def search():
    return "found\n"
