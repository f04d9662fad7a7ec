from ratelimit.contrib.wsgi import RateLimitMiddleware


def home(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello\n"]


app = RateLimitMiddleware(home, "100/day", shared="example", exempt=["/health"])
