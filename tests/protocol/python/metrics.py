# SPDX-License-Identifier: Apache-2.0
"""HTTP over a Unix socket or TCP, and Prometheus' text format as a dictionary."""

import http.client
import re
import socket

SAMPLE = re.compile(r"(?P<name>[a-z0-9_]+)(?:\{(?P<labels>[^}]*)\})? (?P<value>\S+)")
LABEL = re.compile(r'([a-z]+)="([^"]*)"')


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def request(place, path, method="GET", timeout=10):
    """place: the path of a Unix socket, or (host, port). Answers status, headers and body."""
    connection = UnixConnection(place, timeout) if isinstance(place, str) else http.client.HTTPConnection(
        *place, timeout=timeout)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode()
    finally:
        connection.close()


def parse(text):
    """{(name without p11_kms_, sorted labels): value}; a sample that stands twice is an error."""
    samples = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        match = SAMPLE.fullmatch(line)
        if not match:
            raise AssertionError(f"no sample: {line}")
        labels = tuple(sorted(LABEL.findall(match["labels"] or "")))
        key = (match["name"].removeprefix("p11_kms_"), labels)
        if key in samples:
            raise AssertionError(f"twice: {line}")
        samples[key] = float(match["value"])
    return samples


def sample(name, **labels):
    return name, tuple(sorted(labels.items()))


def scrape(place):
    status, headers, text = request(place, "/metrics")
    assert status == 200, text
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8", headers
    return parse(text)


def check_histograms(samples, families):
    """Each histogram's buckets ascend to its count, and its count is the sum of the counter's
    samples: families maps histogram to counter and the label that only the counter has."""
    for histogram, (counter, extra) in families.items():
        groups = {}
        for (name, labels), value in samples.items():
            if name == counter:
                rest = tuple(pair for pair in labels if pair[0] != extra)
                groups[rest] = groups.get(rest, 0) + value
        assert groups, f"no samples of {counter}"
        for labels, total in groups.items():
            assert samples[histogram + "_count", labels] == total, (histogram, labels)
            buckets = [(float(dict(found)["le"]), value) for (name, found), value in samples.items()
                       if name == histogram + "_bucket" and
                       tuple(pair for pair in found if pair[0] != "le") == labels]
            values = [value for _, value in sorted(buckets)]
            assert len(values) > 10 and values == sorted(values), (histogram, labels, values)
            assert values[-1] == total, (histogram, labels)
            seconds = samples[histogram + "_sum", labels]
            assert seconds >= 0 and (seconds > 0) == (total > 0), (histogram, labels, seconds)
