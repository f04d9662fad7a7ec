"""Every format that the documentation lists, with lines in it: the time, the client and the path that are read."""

import json
from dataclasses import dataclass, field

import pytest
from test_logs import read

from ratelimit.replay.reading.formats.described import from_log_format, from_pattern

NS = 10**9
AT = 1_767_571_201 * NS  # 2026-01-05 00:00:01 UTC
CLF = "[05/Jan/2026:00:00:01 +0000]"
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:146.0) Gecko/20100101 Firefox/146.0"


@dataclass
class Form:
    """A format, a line in it, and what is read."""

    name: str
    line: str
    reads: str = "combined"
    client: str = "203.0.113.7"
    path: str | None = "/cart"
    at: int = AT
    more: dict = field(default_factory=dict)  # other fields

    def __repr__(self):
        return self.name


def of_json(name, **record):
    return Form(name, json.dumps(record), "json")


REQUEST = '"GET /cart?id=1 HTTP/1.1" 200 512'
MESSAGE = f'203.0.113.7 - - {CLF} {REQUEST} "-" "{AGENT}"'
TEXTS = [
    Form("common", f"203.0.113.7 - ann {CLF} {REQUEST}", more={"user": "ann", "status": "200"}),
    Form("combined", MESSAGE, more={"agent": AGENT, "method": "GET"}),
    Form("nginx main", f'{MESSAGE} "198.51.100.1, 10.0.0.1"', more={"header.x-forwarded-for": "198.51.100.1, 10.0.0.1"}),
    Form("combined with request times", f"{MESSAGE} 0.004 0.003 .", more={"agent": AGENT}),
    Form("ingress-nginx", f"{MESSAGE} 512 0.004 [shop-web-80] [] 10.0.0.5:8080 512 0.004 200 9f1c", more={"agent": AGENT}),
    Form("Traefik", f'{MESSAGE} 17 "web@docker" "http://10.0.0.5:80" 4ms', more={"agent": AGENT}),
    Form("Kong", f'{MESSAGE} kong_request_id: "9f1c"', more={"agent": AGENT}),
    Form("gunicorn", f'203.0.113.7 - - {CLF} {REQUEST} "-" "{AGENT}"'),
    Form("hypercorn", f'203.0.113.7:51811 - - [2026-01-05 00:00:01 +0000] {REQUEST} "-" "curl/8"'),
    Form("API Gateway CLF", f'203.0.113.7 - - {CLF}"GET /cart HTTP/1.1" 200 512 9f1c-44'),
    Form("status -", f'203.0.113.7 - - {CLF} "GET /cart HTTP/1.1" - - "-" "-"'),
    Form("user with blanks", f"203.0.113.7 - Ann B. Smith {CLF} {REQUEST}", more={"user": "Ann B. Smith"}),
    Form("quotes in the request", f'203.0.113.7 - - {CLF} "GET /cart?q="x" HTTP/1.1" 200 1 "-" "x"', more={"agent": "x"}),
    Form("addresses before -", f"203.0.113.7, 10.0.0.1 - - {CLF} {REQUEST}"),
    Form("milliseconds", f"203.0.113.7 - - [05/Jan/2026:00:00:01.250 +0000] {REQUEST}", at=AT + NS // 4),
    Form("ISO times", f"203.0.113.7 - - [2026-01-05T01:00:01.250+01:00] {REQUEST}", at=AT + NS // 4),
    Form("vhost", f"shop.example {MESSAGE}", "vhost-combined", more={"host": "shop.example"}),
    Form("vhost and port", f"shop.example:443 {MESSAGE}", "vhost-combined", more={"host": "shop.example:443"}),
    Form("vhost and names", f"shop.example:443 host-7.example - - {CLF} {REQUEST}", "vhost-port-combined", "host-7.example"),
    Form(
        "Nginx Proxy Manager",
        f'{CLF} - 200 200 - GET https shop.example "/cart?id=1" [Client 203.0.113.7] [Length 512] [Gzip -] '
        f'[Sent-to 10.0.0.5] "{AGENT}" "-"',
        "nginx-proxy-manager",
        more={"agent": AGENT, "host": "shop.example", "status": "200"},
    ),
    Form(
        "Nginx Proxy Manager, not a proxy",
        f'{CLF} 404 - GET http shop.example "/cart" [Client 203.0.113.7] [Length 9] [Gzip 3.2] "{AGENT}" "-"',
        "nginx-proxy-manager",
        more={"status": "404"},
    ),
    Form(
        "Zoraxy",
        f"[2026-01-05 00:00:01.250000] [router:host-http] [origin:shop.example] [client: 203.0.113.7] "
        f"[useragent: {AGENT}] GET /cart?id=1 200",
        "zoraxy",
        at=AT + NS // 4,
        more={"agent": AGENT},
    ),
    Form(
        "HAProxy",
        "203.0.113.7:33317 [05/Jan/2026:00:00:01.250] web~ app/app1 10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 "
        '{shop.example} {} "GET /cart?id=1 HTTP/1.1"',
        "haproxy",
        at=AT + NS // 4,
        more={"status": "200"},
    ),
    Form("HAProxy TCP", "203.0.113.7:33317 [05/Jan/2026:00:00:01.250] ssh ssh/ssh1 0/0/5007 212 -- 0/0/0/0/3 0/0",
         "haproxy-tcp", path=None, at=AT + NS // 4),
    Form(
        "AWS ALB",
        "https 2026-01-05T00:00:01.250000Z app/shop/50dc6c495c0c9188 203.0.113.7:2817 10.0.0.1:80 0.000 0.001 0.000 200 "
        f'200 34 366 "GET https://shop.example:443/cart?id=1 HTTP/2.0" "{AGENT}" ECDHE TLSv1.2 arn:aws:x "Root=1-58" '
        '"shop.example" "arn:y" 0 2026-01-05T00:00:01.249000Z "forward" "-" "-" "10.0.0.1:80" "200" "-" "-"',
        "aws-alb",
        at=AT + NS // 4,
        more={"agent": AGENT, "status": "200"},
    ),
    Form(
        "AWS classic load balancer",
        "2026-01-05T00:00:01.250000Z shop 203.0.113.7:2817 10.0.0.1:80 0.00007 0.001 0.00006 200 200 0 29 "
        f'"GET http://shop.example:80/cart HTTP/1.1" "{AGENT}" - -',
        "aws-elb",
        at=AT + NS // 4,
        more={"agent": AGENT},
    ),
    Form(
        "AWS NLB",
        "tls 2.0 2026-01-05T00:00:01 net/shop/c6e77e28c25b2234 g3d4b5e8bb8464cd 203.0.113.7:51341 10.0.0.1:443 5 2 98 246 "
        "- arn:aws:acm - ECDHE tlsv12 - shop.example - - -",
        "aws-nlb",
        path=None,
    ),
    Form(
        "AWS S3",
        f"79a59df900b9 shop-assets {CLF} 203.0.113.7 79a59df900b9 3E57427F3 REST.GET.OBJECT cart "
        f'"GET /cart?versioning HTTP/1.1" 200 - 113 - 7 - "-" "{AGENT}" -',
        "aws-s3",
        more={"agent": AGENT, "bucket": "shop-assets"},
    ),
    Form(
        "Envoy",
        f'[2026-01-05T00:00:01.250Z] "GET /cart?id=1 HTTP/2" 200 - 0 512 5 4 "203.0.113.7" "{AGENT}" "9f1c-44" '
        '"shop.example" "10.0.0.5:8080"',
        "envoy",
        at=AT + NS // 4,
        more={"agent": AGENT},
    ),
    Form(
        "Istio",
        '[2026-01-05T00:00:01.250Z] "GET /cart HTTP/1.1" 200 - via_upstream - "-" 0 512 5 4 "-" "curl/8" "9f1c-44" '
        '"shop.example" "10.0.0.5:8080" inbound|8080|| 127.0.0.6:41000 10.0.0.5:8080 203.0.113.7:33960 - default',
        "istio",
        at=AT + NS // 4,
        more={"agent": "curl/8"},
    ),
    Form("Squid", "1767571201.250     45 203.0.113.7 TCP_MISS/200 1234 GET http://shop.example/cart - HIER_DIRECT/10.0.0.1 -",
         "squid", at=AT + NS // 4),
    Form("uvicorn with a time", '2026-01-05 00:00:01,250 INFO: 203.0.113.7:50718 - "GET /cart HTTP/1.1" 200 OK', "uvicorn",
         at=AT + NS // 4),
]  # fmt: skip
TABLES = [
    Form(
        "IIS",
        "#Software: Microsoft Internet Information Services 10.0\n"
        "#Fields: date time s-ip cs-method cs-uri-stem c-ip cs(User-Agent) sc-status\n"
        "2026-01-05 00:00:01 10.0.0.1 GET /cart 203.0.113.7 Mozilla/5.0+(X11) 200",
        "w3c",
        more={"agent": "Mozilla/5.0 (X11)", "status": "200"},
    ),
    Form(
        "AWS CloudFront",
        "#Version: 1.0\n#Fields: date time x-edge-location c-ip cs-method cs(Host) cs-uri-stem sc-status cs(User-Agent)\n"
        "2026-01-05\t00:00:01\tFRA2\t203.0.113.7\tGET\td1.example\t/cart\t200\tMozilla/5.0%20(X11)",
        "w3c",
        more={"agent": "Mozilla/5.0 (X11)"},
    ),
    Form("CSV", "time,client,path,agent\n2026-01-05T00:00:01Z,203.0.113.7,/cart,x", "csv"),
    Form("CSV with line feeds", 'time,client,path,agent\n1767571201,203.0.113.7,/cart,"two\nlines"', "csv",
         more={"agent": "two\nlines"}),
    Form("CSV with semicolons", "\n\nid;@timestamp;client_ip;path\n7;2026-01-05 00:00:01;203.0.113.7;/cart",
         "csv"),
    Form("TSV", "ts\tclient_ip\turl\n1767571201\t203.0.113.7\t/cart?x=1", "csv"),
]  # fmt: skip
OBJECTS = [
    of_json("nginx escape=json", msec="1767571201.000", remote_addr="203.0.113.7", request="GET /cart HTTP/1.1"),
    of_json("Elastic Common Schema", **{"@timestamp": "2026-01-05T00:00:01Z"}, host={"ip": "10.0.0.1"},
            source={"ip": "203.0.113.7"}, url={"path": "/cart"}),
    of_json("Filebeat", **{"@timestamp": "2026-01-05T00:00:01Z", "host.name": "web-1", "client.ip": "203.0.113.7",
                           "url.original": "/cart"}, host="web-1"),
    of_json("Caddy", ts=1767571201.0, request={"remote_ip": "10.0.0.1", "client_ip": "203.0.113.7", "uri": "/cart?x=1"}),
    of_json("Traefik JSON", ClientAddr="203.0.113.7:4711", ClientHost="203.0.113.7", RequestPath="/cart?x=1",
            StartUTC="2026-01-05T00:00:01Z", time="2026-01-05T00:00:01Z"),
    of_json("Google Cloud load balancer", insertId="x", timestamp="2026-01-05T00:00:01Z", httpRequest={
        "requestUrl": "https://shop.example/cart?x=1", "remoteIp": "203.0.113.7:4711", "serverIp": "10.0.0.1"}),
    of_json("AWS WAF", timestamp=1767571201000, httpRequest={
        "clientIp": "203.0.113.7", "uri": "/cart", "headers": [{"name": "Host", "value": "shop.example"}]}),
    of_json("API Gateway JSON", requestTime="05/Jan/2026:00:00:01 +0000", ip="203.0.113.7", resourcePath="/cart"),
    of_json("Azure Application Gateway", timeStamp="2026-01-05T00:00:01Z", properties={
        "clientIP": "203.0.113.7", "requestUri": "/cart", "serverRouted": "10.0.0.1"}),
    of_json("Azure App Service", time="2026-01-05T00:00:01Z", properties={"CIp": "203.0.113.7", "CsUriStem": "/cart"}),
    of_json("Azure Front Door", time="2026-01-05T00:00:01Z", properties={
        "clientIp": "203.0.113.7", "requestUri": "https://shop.example:443/cart?x=1"}),
    of_json("Cloudflare Logpush", ClientIP="203.0.113.7", ClientRequestURI="/cart?x=1", EdgeStartTimestamp=1767571201000000000),
    of_json("Envoy JSON", start_time="2026-01-05T00:00:01.000Z", downstream_remote_address="203.0.113.7:4711", path="/cart"),
    of_json("Kong http-log", client_ip="203.0.113.7", started_at=1767571201000, request={"uri": "/cart", "size": 3}),
    of_json("gunicorn JSON", h="203.0.113.7", t="[05/Jan/2026:00:00:01 +0000]", U="/cart"),
    of_json("Node pino", time=1767571201000, req={"remoteAddress": "203.0.113.7", "url": "/cart"}, pid=7),
]  # fmt: skip


def check(tmp_path, content, form, **options):
    for key, expected in {"client": form.client, "path": form.path, **form.more}.items():
        if expected is not None:
            found, reader = read(tmp_path, content, key, **options)
            assert found == [(form.at, expected)]
            assert reader.source().broken == 0
    return reader


@pytest.mark.parametrize("form", TEXTS + TABLES + OBJECTS, ids=repr)
def test_reads_a_format(form, tmp_path):
    reader = check(tmp_path, f"{form.line}\n", form)
    assert reader.source().formats == [form.reads]


PREFIXES = {
    "syslog": "Jan  5 00:00:09 web-1 nginx: ",
    "syslog with a priority": "<190>Jan  5 00:00:09 web-1 nginx[77]: ",
    "journald": "Jan 05 00:00:09 web-1 shop-api[4711]: ",
    "journald short-iso": "2026-01-05T00:00:09+0000 web-1 nginx[77]: ",
    "syslog RFC 5424": "<190>1 2026-01-05T00:00:09.000Z web-1 nginx 77 - [origin ip=\"10.0.0.1\"] ",
    "CRI": "2026-01-05T00:00:09.123456789Z stdout F ",
    "docker logs --timestamps": "2026-01-05T00:00:09.123456789Z ",
    "compose": "shop-web-1  | ",
    "compose with colours": "\x1b[36mshop-web-1  |\x1b[0m ",
    "kubectl --prefix": "[pod/shop-7d9f/web] ",
}  # fmt: skip
BEHIND = ["combined", "vhost", "HAProxy", "Envoy", "nginx escape=json", "Caddy"]


@pytest.mark.parametrize("name", BEHIND)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_reads_a_format_behind_a_prefix(prefix, name, tmp_path):
    """The line's own time counts."""
    form = next(form for form in TEXTS + OBJECTS if form.name == name)
    check(tmp_path, f"{PREFIXES[prefix]}{form.line}\n", form)


@pytest.mark.parametrize("name", BEHIND)
@pytest.mark.parametrize(
    "envelope",
    [
        lambda line: {"log": f"{line}\n", "stream": "stdout", "time": "2026-01-05T00:00:09Z"},
        lambda line: {"MESSAGE": line, "__REALTIME_TIMESTAMP": "1767571209000000", "_HOSTNAME": "web-1"},
        lambda line: {"@timestamp": "2026-01-05T00:00:09Z", "message": line, "host": {"name": "web-1"}},
        lambda line: {"textPayload": line, "timestamp": "2026-01-05T00:00:09Z", "insertId": "x"},
    ],
    ids=["Docker json-file", "journald -o json", "Filebeat", "Google Cloud textPayload"],
)
def test_reads_a_format_within_json(envelope, name, tmp_path):
    form = next(form for form in TEXTS + OBJECTS if form.name == name)
    check(tmp_path, json.dumps(envelope(form.line)) + "\n", form)


@pytest.mark.parametrize(
    "prefix",
    ["2026-01-05T00:00:01Z stdout F ", "2026-01-05T00:00:01+0000 web-1 api[7]: ", "web-1 | 2026-01-05T00:00:01Z "],
)
def test_a_line_without_a_time_has_that_of_its_prefix(prefix, tmp_path):
    line = 'INFO:     203.0.113.7:50718 - "GET /cart HTTP/1.1" 200 OK'
    check(tmp_path, f"{prefix}{line}\n", Form("uvicorn", line))


@pytest.mark.parametrize("name", ["combined", "CSV with semicolons", "Caddy", "IIS"])
def test_lines_before_the_log_are_counted(name, tmp_path):
    form = next(form for form in TEXTS + OBJECTS + TABLES if form.name == name)
    found, reader = read(tmp_path, "Server starting, please wait\n=====\n" * 40 + f"{form.line}\n")
    assert found == [(AT, "203.0.113.7")]
    assert reader.source().broken == 80


def test_reads_combined_behind_an_unknown_prefix(tmp_path):
    check(tmp_path, f"prod eu-1 nginx: {MESSAGE}\n", Form("combined", MESSAGE))


def test_rejects_a_log_without_times(tmp_path):
    with pytest.raises(ValueError, match="none of 1 lines could be read as uvicorn"):
        read(tmp_path, 'INFO:     203.0.113.7:50718 - "GET / HTTP/1.1" 200 OK\n')


RECORDS = [{"time": AT // NS + more, "client": "203.0.113.7", "n": {"deep": more}} for more in range(3)]


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(RECORDS),
        json.dumps(RECORDS, indent=2),
        "[\n" + ",\n".join(map(json.dumps, RECORDS)) + "\n]\n",
        "\n".join(json.dumps(record, indent=4) for record in RECORDS),
        "".join(map(json.dumps, RECORDS)),
        json.dumps({"Records": RECORDS}),
        json.dumps({"records": RECORDS}, indent=2),
        "\ufeff" + json.dumps(RECORDS),
    ],
    ids=["array", "pretty array", "array by line", "pretty objects", "side by side", "Records", "pretty records", "BOM"],
)  # fmt: skip
@pytest.mark.parametrize("size", [7, 1 << 20])
def test_reads_json_that_is_not_an_object_a_line(content, size, tmp_path, monkeypatch):
    monkeypatch.setattr("ratelimit.replay.reading.files.BLOCK", max(size, len(content) // 3) if size == 7 else size)
    found, reader = read(tmp_path, content)
    assert found == [(AT + more * NS, "203.0.113.7") for more in range(3)]
    assert reader.source().broken == 0


def test_a_long_json_array_in_one_line_is_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("ratelimit.replay.reading.files.LONGEST", 1_000)
    monkeypatch.setattr("ratelimit.replay.reading.files.BLOCK", 512)
    assert len(read(tmp_path, json.dumps(RECORDS * 100))[0]) == 300


@pytest.mark.parametrize(
    "line",
    [
        r'{"time": 1767571201, "client": "203.0.113.7", "ua": "a\x22b\x5C"}',
        '{"time": 1767571201, "client": "203.0.113.7", "ua": "tab\there"}',
        b'{"time": 1767571201, "client": "203.0.113.7", "ua": "\xe4"}',
    ],
)
def test_repairs_common_deviations_from_json(line, tmp_path):
    content = line if isinstance(line, bytes) else line.encode()
    assert read(tmp_path, content + b"\n")[0] == [(AT, "203.0.113.7")]


def test_lines_of_several_programs_in_one_json_log(tmp_path):
    """Each line has the client under a name of its own."""
    lines = ['{"ts": 1767571201, "client_ip": "203.0.113.7"}'] * 1_500
    lines.append('{"@timestamp": "2026-01-05T00:00:01Z", "source": {"ip": "203.0.113.8"}}')
    found, reader = read(tmp_path, "\n".join(lines))
    assert found[-1] == (AT, "203.0.113.8")
    assert reader.source().fields == {"time": ["ts"], "client": ["client_ip"]}


@pytest.mark.parametrize(
    ("description", "line"),
    [
        ("$remote_addr|$time_iso8601|$request_method $request_uri", "203.0.113.7|2026-01-05T00:00:01Z|GET /cart?x=1"),
        (
            '[$time_local] $status "$request" <$remote_addr> $request_time',
            f'{CLF} 200 "GET /cart HTTP/1.1" <203.0.113.7> 0.1',
        ),
        (
            "log_format main escape=json '$remote_addr - [$time_local] '\n    '\"$request\" ${status}x';",
            f'203.0.113.7 - {CLF} "GET /cart HTTP/1.1" 200x',
        ),
        ("$msec $http_x_real_ip $uri", "1767571201.000 203.0.113.7 /cart"),
        ('%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i" %D', f'203.0.113.7 - - {CLF} {REQUEST} "-" "x" 4711'),
        ('LogFormat "%a %t \\"%r\\" %!200,304s %v" special', f'203.0.113.7 {CLF} "GET /cart HTTP/1.1" - shop.example'),
        ("%{%Y-%m-%d %H:%M:%S}t %{c}a %m %U%q", "2026-01-05 00:00:01 203.0.113.7 GET /cart"),
        ("%{msec}t %h %U", "1767571201000 203.0.113.7 /cart"),
    ],
)
def test_reads_a_described_format(description, line, tmp_path):
    check(tmp_path, f"{line}\n", Form("described", line), format=from_log_format(description))


def test_reads_a_format_by_a_regular_expression(tmp_path):
    form = from_pattern(r"(?<time>\S+) from (?P<client>\S+) to (?P<path>\S+)")
    line = "2026-01-05T00:00:01Z from 203.0.113.7 to /cart"
    check(tmp_path, f"{line}\n", Form("described", line), format=form)


@pytest.mark.parametrize(
    ("make", "text", "message"),
    [
        (from_log_format, "nothing", "expected nginx's \\$variables or Apache's %directives, got 'nothing'"),
        (from_log_format, "%h %Q %t", "unknown directive '%Q' \\(choose from %h, "),
        (from_log_format, "$remote_addr $status", "missing required time"),
        (from_pattern, "(?P<client>", "expected a regular expression in RE2's syntax"),
        (from_pattern, "[^ ]+", "expected named groups such as"),
    ],
)
def test_rejects_a_description_that_is_wrong(make, text, message):
    with pytest.raises(ValueError, match=message):
        make(text)


def test_the_format_can_be_named(tmp_path):
    for form in TEXTS:
        check(tmp_path, f"{form.line}\n", form, format=form.reads)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("header.x-forwarded-for", "198.51.100.1, 10.0.0.1"),
        ("header.x-forwarded-for[1]", "198.51.100.1"),
        ("header.x-forwarded-for[-1]", "10.0.0.1"),
        ("header.x-forwarded-for[-2]/24", "198.51.100.0/24"),
    ],
)
def test_a_key_takes_one_address_of_a_list(key, expected, tmp_path):
    found, _ = read(tmp_path, f'{MESSAGE} "198.51.100.1, 10.0.0.1"\n', key)
    assert found == [(AT, expected)]
