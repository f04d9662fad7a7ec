"""The text formats that programs write by default, a row each. docs/replay.md has them as a table."""

from .text import TextFormat

QUOTED = r'"(?:[^"\\]|\\.)*"'
CLIENT = r"(?P<client>[^ ,]+(?:, ?[^ ,]+)*)"
ADDRESS = r"\[?(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*)(?:%\w+)?\]?(?::\d+)?"
# A user's name may have blanks, but no word of it is `-`: that would be the ident of a line behind an unknown prefix.
USER = r"(?P<user>(?:[^ ]+(?: +(?:[^ -]|-[^ ])[^ ]*)*?)?)"
AFTER_CLIENT = rf' [^ ]+ {USER} ?\[(?P<time>[^\]]+)\] ?"(?P<request>.*?)" (?P<status>\d{{3}}|-)(?:\s|$)'
# After the status: the size, what the combined format adds, and the address that nginx's `main` puts behind it.
COMBINED_TAIL = (
    r'(?P<size>\d+|-)(?: "(?P<referer>(?:[^"\\]|\\.)*)" "(?P<agent>(?:[^"\\]|\\.)*)"'
    r'(?: "(?P<http_x_forwarded_for>[0-9A-Fa-f.:, \[\]]+|-|unknown)")?)?'
)
ISO = r"\d{4}-\d\d-\d\d[T ][\d:.,]+(?:Z|[+-]\d\d:?\d\d)?"

# Formats of special form first: a line is often in a more general format, too.
CATALOGUE = [
    TextFormat(
        "vhost-combined",
        rf"(?P<host>[^ ,]+) (?P<client>{ADDRESS}){AFTER_CLIENT}",
        COMBINED_TAIL,
    ),
    TextFormat(
        "vhost-port-combined",  # clients may be names; the first word has a port, so it is not a client
        rf"(?P<host>[A-Za-z0-9.-]*[A-Za-z][A-Za-z0-9.-]*:\d+) (?P<client>[^ ,-][^ ,]*){AFTER_CLIENT}",
        COMBINED_TAIL,
    ),
    TextFormat("combined", CLIENT + AFTER_CLIENT, COMBINED_TAIL),
    TextFormat(
        "nginx-proxy-manager",
        r"\[(?P<time>[^\]]+)\] (?:[^ ]+ ){0,2}(?P<status>\d{3}|-) - (?P<method>[A-Z]+) [^ ]+ (?P<host>[^ ]+) "
        r'"(?P<target>.*?)" \[Client (?P<client>[^\]]+)\]',
        r' \[Length (?P<size>[^\]]*)\](?: \[[^\]]*\])* "(?P<agent>(?:[^"\\]|\\.)*)" "(?P<referer>(?:[^"\\]|\\.)*)"',
    ),
    TextFormat(
        "zoraxy",
        r"\[(?P<time>[^\]]+)\] \[router:[^\]]*\] \[origin: ?(?P<host>[^\]]*)\] \[client: ?(?P<client>[^\]]*)\] "
        r"\[useragent: ?(?P<agent>.*?)\] (?P<method>[A-Z]+) (?P<target>[^ ]+) (?P<status>\d{3})",
    ),
    TextFormat(
        "haproxy",
        r"(?P<client>[^ ]+:\d+) \[(?P<time>\d\d/\w{3}/\d{4}:[^\]]+)\] (?P<frontend>[^ ]+) (?P<backend>[^ ]+) [-+\d/]+ "
        r'(?P<status>\d{3}|-1) \+?(?P<size>\d+) [^"]*"(?P<request>[^"]*)',
    ),
    TextFormat(
        "haproxy-tcp",
        r"(?P<client>[^ ]+:\d+) \[(?P<time>\d\d/\w{3}/\d{4}:[^\]]+)\] (?P<frontend>[^ ]+) (?P<backend>[^ ]+) "
        r"[-\d]+/[-\d]+/\+?\d+ \+?(?P<size>\d+) ",
    ),
    TextFormat(
        "aws-alb",
        r"(?:https?|h2|grpcs?|wss?) (?P<time>[^ ]+) (?P<balancer>[^ ]+) (?P<client>[^ ]+) [^ ]+ "
        r'[-\d.]+ [-\d.]+ [-\d.]+ (?P<status>\d{3}|-) [^ ]+ [^ ]+ (?P<size>[^ ]+) "(?P<request>.*?)" "(?P<agent>.*?)" ',
    ),
    TextFormat(
        "aws-elb",
        rf"(?P<time>{ISO}) (?P<balancer>[^ ]+) (?P<client>[^ ]+:\d+) [^ ]+ [-\d.]+ [-\d.]+ [-\d.]+ "
        r'(?P<status>\d{3}|-) [^ ]+ [^ ]+ (?P<size>[^ ]+) "(?P<request>.*?)"',
        r' "(?P<agent>.*?)"',
    ),
    TextFormat("aws-nlb", r"tls [\d.]+ (?P<time>[^ ]+) (?P<balancer>[^ ]+) [^ ]+ (?P<client>[^ ]+) "),
    TextFormat(
        "aws-s3",
        r"[0-9a-f]{8,64} (?P<bucket>[^ ]+) \[(?P<time>[^\]]+)\] (?P<client>[^ ]+) (?P<user>[^ ]+) [^ ]+ "
        r'(?P<operation>[A-Z0-9_.]+) (?P<object>[^ ]+) (?:"(?P<request>.*?)"|-) (?P<status>\d{3}|-)',
        r' [^ ]+ (?P<size>[^ ]+) [^ ]+ [^ ]+ [^ ]+ (?:"(?P<referer>[^"]*)"|-) (?:"(?P<agent>[^"]*)"|-)',
    ),
    TextFormat(
        "envoy",
        r'\[(?P<time>\d{4}-[^\]]+)\] "(?P<request>.*?)" (?P<status>\d+|-) (?P<flags>[^ ]+) [-\d]+ [-\d]+ [-\d]+ [-\d]+ '
        r'"(?P<client>[^"]*)" "(?P<agent>[^"]*)" "[^"]*" "(?P<host>[^"]*)"',
    ),
    TextFormat(
        "istio",
        r'\[(?P<time>\d{4}-[^\]]+)\] "(?P<request>.*?)" (?P<status>\d+|-) (?P<flags>[^ ]+) [^ ]+ [^ ]+ '
        r'"[^"]*" [-\d]+ [-\d]+ [-\d]+ [-\d]+ "(?P<client>[^"]*)" "(?P<agent>[^"]*)" "[^"]*" "(?P<host>[^"]*)" '
        r'"[^"]*" [^ ]+ [^ ]+ [^ ]+ (?P<client_2>[^ ]+)',
    ),
    TextFormat(
        "squid",
        r"(?P<time>\d{9,11}\.\d{3}) +\d+ (?P<client>[^ ]+) [A-Z_]+/(?P<status>\d{3}) (?P<size>\d+) (?P<method>[A-Z_]+) "
        r"(?P<target>[^ ]+) (?P<user>[^ ]+) ",
    ),
    TextFormat(
        "uvicorn",  # with whatever `format` of Python's logging puts before it, where that has a time
        rf"(?:[^\d\"]{{0,20}}(?P<time>{ISO})[^\"]*?[ :\]])?(?:[^\"]*? )?(?P<client>[^ \"]+:\d+) - "
        r'"(?P<request>[A-Z]+ .*?)" (?P<status>\d{3})',
    ),
]
