"""Nothing that a function is given, or gives, is shared with another request."""

from gateway_harness import App

from ratelimit.gateway import Api, Authorizer, Canary, Configuration, Route, Stage

MARK = "changed"


def spoil(value):
    """Change everything that can be changed in a value."""
    if isinstance(value, dict):
        for inner in list(value.values()):
            spoil(inner)
        value[MARK] = MARK
    elif isinstance(value, list):
        for inner in value:
            spoil(inner)
        value.append(MARK)


def app(authorizer, **stage):
    def function(event):
        seen = str(event)
        spoil(event)
        return {"statusCode": 200, "body": seen}

    api = Api(
        routes={"GET /{name}/{proxy+}": Route(function=function, authorizer="own")},
        authorizers={"own": Authorizer(authorizer)},
        stages={"$default": Stage(variables={"a": "b"}, **stage)},
    )
    return App(Configuration({"a": api}))


def test_an_event_belongs_to_one_request():
    def authorizer(event):
        assert MARK not in str(event)
        spoil(event)
        return {"isAuthorized": True, "context": {"role": "user", "groups": ["x", {"y": ["z"]}]}}

    for stage in ({}, {"canary": Canary(50.0, variables={"c": "d"})}):
        ask = app(authorizer, **stage)
        for _ in range(20):
            answer = ask.get("/x/y/z?q=1", headers={"authorization": "ann"})
            assert answer.status_code == 200
            assert MARK not in answer.text
            assert "'role': 'user'" in answer.text


def test_an_answer_of_an_authorizer_is_its_own_no_longer():
    """The gateway keeps it as it was then."""
    context = {"role": "user", "deep": [{}]}
    ask = app(lambda event: {"isAuthorized": True, "context": context})
    assert "'role': 'user'" in ask.get("/x/y", headers={"authorization": "ann"}).text
    context["role"] = "admin"
    spoil(context)
    kept = ask.get("/x/y", headers={"authorization": "ann"}).text
    assert "'role': 'user'" in kept
    assert MARK not in kept


def test_a_context_that_cannot_be_copied_is_a_failure_of_the_authorizer():
    import threading

    ask = app(lambda event: {"isAuthorized": True, "context": {"lock": threading.Lock()}})
    assert ask.get("/x/y", headers={"authorization": "ann"}).status_code == 500


def test_an_event_has_no_headers_of_one_connection():
    """Its body is whole: an application that read `Transfer-Encoding` in it would wait for chunks."""
    names = ["connection", "te", "upgrade", "keep-alive", "trailer", "proxy-authorization", "http2-settings", "t_e"]
    api = Api(routes={"GET /": Route(function=lambda event: ",".join(event["headers"]))}, stages={"$default": Stage()})
    request = App(Configuration({"a": api}))
    seen = request.get("/", headers=dict.fromkeys(names, "trailers")).text.split(",")
    assert set(names) & set(seen) == {"t_e"}
