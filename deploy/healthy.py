"""A container's health check: `python deploy/healthy.py PORT` succeeds when the process there can serve requests."""

import http.client
import sys

connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=4)
connection.request("GET", "/readyz", headers={"Host": "localhost", "X-Forwarded-Proto": "https"})
sys.exit(0 if connection.getresponse().status == 200 else 1)
