"""The formats of logs: lines as columns of fields.

base.py        what a format is
fields.py      the names under which programs write the same field
text.py        lines that match a regular expression (RE2, in time linear in the line), a block at a time
catalogue.py   the text formats, a row each
prefixes.py    what syslog, containers and log shippers write around a line
json_lines.py  JSON objects
records.py     JSON arrays and pretty JSON, as one object a line
tables.py      CSV and W3C extended logs
described.py   formats that the user describes: nginx's log_format, Apache's LogFormat, a regular expression
detect.py      which of them a log is in
"""
