#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Health and metrics of the real daemon on SoftHSM are true: known traffic is made, known faults
are brought about, and every number is compared. P11KMS_BUILD_DIR names the directory of the
programs."""

import datetime
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

try:
    import grpc
except ImportError:
    print("SKIP: python3-grpcio is not installed; metrics were not checked", file=sys.stderr)
    sys.exit(1 if os.environ.get("CI") == "true" else 77)
if not shutil.which("promtool"):
    print("SKIP: promtool is not installed (package prometheus); metrics were not checked", file=sys.stderr)
    sys.exit(1 if os.environ.get("CI") == "true" else 77)

from daemon import MODULE, Daemon, Token, eventually, program, write
from kms_client import APIS, V1, V2, V2ALPHA1, Client, Sealed, field
from metrics import check_histograms, parse, request, sample, scrape

HTTP = "http: unix://{dir}/run/http.sock\n"
QUIET = "  probeEvery: 1h\n"  # what is counted is the test's alone
RESCAN_NEVER = "  rescanEvery: 1d\n  activationDelay: 1d\n"
FAMILIES = {"request_duration_seconds": ("requests_total", "code"),
            "token_operation_duration_seconds": ("token_operations_total", "result")}
HEALTH = "/grpc.health.v1.Health/Check"
SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"
METHODS = {"v1beta1": ("Version", "Encrypt", "Decrypt"), "v2alpha1": ("Status", "Encrypt", "Decrypt"),
           "v2": ("Status", "Encrypt", "Decrypt")}


def requests(api, method, code):
    return sample("requests_total", api=api.package, method=method, code=code)


def operations(op, result):
    return sample("token_operations_total", op=op, result=result)


def running_threads(pid):
    """Those of a process that are not stopped."""
    states = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/stat", encoding="ascii", errors="replace") as file:
            states[task] = file.read().rpartition(")")[2].split()[0]
    return [task for task, state in states.items() if state != "T"]


class Case(unittest.TestCase):
    def setUp(self):
        self.daemon = None

    def begin(self, **options):
        options.setdefault("top", HTTP)
        self.daemon = Daemon(self, **options)
        self.http = self.daemon.dir + "/run/http.sock"
        self.client = Client(self.daemon.socket)
        self.addCleanup(self.client.close)

    def on_failure(self, text):
        outcome = self._outcome.result
        if any(test is self for test, _ in outcome.failures + outcome.errors):
            print(text, file=sys.stderr)

    def get(self, path):
        status, _, text = request(self.http, path)
        return status, text

    def scrape(self):
        samples = scrape(self.http)
        check_histograms(samples, FAMILIES)
        return samples

    def status(self):
        done = subprocess.run([program("P11KMS_BUILD_DIR", "p11-kms"), "status", "--json", "--config",
                               self.daemon.config], capture_output=True, text=True, timeout=60, check=False)
        return json.loads(done.stdout)

    def fails(self, code, call, *arguments):
        with self.assertRaises(grpc.RpcError) as caught:
            call(*arguments)
        self.assertEqual(caught.exception.code(), code, caught.exception.details())

    def await_ready(self, within=20):
        eventually(within, lambda: None if self.get("/readyz")[0] == 200 else self.get("/readyz"), "a ready daemon")

    def await_not_ready(self, within=20):
        eventually(within, lambda: self.get("/readyz") if self.get("/readyz")[0] == 200 else None, "not ready")

    def assert_counted(self, before, expected, but=()):
        """Every counter has grown by what is expected, and every other one not at all. but: labels of what
        the daemon does for itself, as often as it likes."""
        after, wrong = self.scrape(), []
        for key, value in after.items():
            if not key[0].endswith("_total") or any(value in but for _, value in key[1]):
                continue
            grown = value - before.get(key, 0)
            if grown != expected.get(key, 0):
                wrong.append(f"{key}: {grown}, not {expected.get(key, 0)}")
        wrong += [f"{key}: not there" for key in expected if key not in after]
        self.assertEqual(wrong, [])
        return after


class Traffic(Case):
    """What a client asks for."""

    def setUp(self):
        super().setUp()
        self.begin(tokens=QUIET, more=RESCAN_NEVER)

    def test_calls_that_succeed(self):
        before, expected = self.scrape(), {}
        for n, api in enumerate(APIS, 1):
            first = METHODS[api.package][0]
            for _ in range(n):
                self.client.status(api)
            sealed = [self.client.encrypt(api, os.urandom(32)) for _ in range(3 + n)]
            for each in sealed[:2 + n]:
                self.client.decrypt(api, each)
            expected.update({requests(api, first, "OK"): n, requests(api, "Encrypt", "OK"): 3 + n,
                             requests(api, "Decrypt", "OK"): 2 + n})
        expected.update({operations("seal", "ok"): 4 + 5 + 6, operations("open", "ok"): 3 + 4 + 5})
        after = self.assert_counted(before, expected)
        status = self.status()
        self.assertEqual(after["active_kek_seals", ()], status["rotation"]["seals"])
        self.assertEqual(after["active_kek_seals", ()] - before["active_kek_seals", ()], 15)

    def test_calls_that_are_refused(self):
        sealed = self.client.encrypt(V2, b"x" * 32)
        v1 = self.client.encrypt(V1, b"x" * 32)
        altered = sealed._replace(ciphertext=sealed.ciphertext[:-1] + bytes([sealed.ciphertext[-1] ^ 1]))
        before, invalid = self.scrape(), grpc.StatusCode.INVALID_ARGUMENT
        self.fails(invalid, self.client.encrypt, V2, b"")
        self.fails(invalid, self.client.encrypt, V1, b"")
        self.fails(invalid, self.client.decrypt, V2, Sealed(b"nonsense", sealed.key_id, {}))
        self.fails(invalid, self.client.decrypt, V2, sealed._replace(annotations={"a.b": b"c"}))
        self.fails(invalid, self.client.decrypt, V2ALPHA1, sealed._replace(key_id=""))
        self.fails(invalid, self.client.decrypt, V1, v1._replace(ciphertext=sealed.ciphertext))
        for _ in range(3):
            self.fails(invalid, self.client.decrypt, V2, altered)
        self.assertEqual(self.client.code_of("/v2.KeyManagementService/Rotate"), grpc.StatusCode.UNIMPLEMENTED)
        self.assertEqual(self.client.code_of("/p11kms.admin.v1.Admin/Status"), grpc.StatusCode.UNIMPLEMENTED)
        self.assert_counted(before, {
            requests(V2, "Encrypt", "INVALID_ARGUMENT"): 1, requests(V1, "Encrypt", "INVALID_ARGUMENT"): 1,
            requests(V2, "Decrypt", "INVALID_ARGUMENT"): 5, requests(V1, "Decrypt", "INVALID_ARGUMENT"): 1,
            requests(V2ALPHA1, "Decrypt", "INVALID_ARGUMENT"): 1,
            sample("requests_total", api="unknown", method="unknown", code="UNIMPLEMENTED"): 2,
            operations("open", "authentication_failed"): 3})

    def test_names_that_clients_make_up_are_one_label(self):
        before = self.scrape()
        for n in range(40):
            self.client.code_of(f"/made.up{n}.Service{n}/Method{n}")
        after = self.assert_counted(before, {
            sample("requests_total", api="unknown", method="unknown", code="UNIMPLEMENTED"): 40})
        self.assertEqual(before.keys(), after.keys())

    def test_a_kek_that_is_nowhere(self):
        """A look at the token decides it, and the daemon looks again because of it."""
        sealed = self.client.encrypt(V2, b"x" * 32)
        elsewhere = sealed.key_id[:-12] + "000000000000"
        moved = Sealed(sealed.ciphertext.replace(sealed.key_id.encode(), elsewhere.encode()), elsewhere, {})
        before = self.scrape()
        self.fails(grpc.StatusCode.NOT_FOUND, self.client.decrypt, V2, moved)
        after = self.assert_counted(before, {requests(V2, "Decrypt", "NOT_FOUND"): 1},
                                    but=("list", "probe", "maker"))  # an agent of its own looks as well
        self.assertGreater(after[operations("list", "ok")], before[operations("list", "ok")])
        eventually(10, lambda: None if self.scrape()["keks_missing", ()] == 1 else "none missing", "one missing KEK")
        status = self.status()
        self.assertEqual(len(status["missing"]), 1)
        self.assertEqual(self.scrape()["rotation_blocked", ()], 1)
        self.assertNotEqual(status["rotation"]["blocked"], "")

    def test_what_grpc_refuses_is_no_call(self):
        """A message over the limit never reaches a method, nor a counter (docs/monitoring.md)."""
        before = self.scrape()
        self.fails(grpc.StatusCode.RESOURCE_EXHAUSTED, self.client.encrypt, V2, b"x" * 70000)
        self.assert_counted(before, {})

    def test_gauges_are_what_status_says(self):
        samples, status = self.scrape(), self.status()
        for state in ("pre-active", "active", "deactivated", "compromised"):
            self.assertEqual(samples[sample("keks", state=state)], status["keys"][state], state)
        self.assertEqual(samples["keks_unusable", ()], status["keys"]["unusable"])
        self.assertEqual(samples["keks_missing", ()], len(status["missing"]))
        self.assertEqual(samples["ready", ()], status["ok"])
        self.assertEqual(samples["active_kek_seals_max", ()], status["rotation"]["max_seals"])
        self.assertEqual(samples["rotation_blocked", ()], status["rotation"]["blocked"] != "")
        self.assertEqual(samples[sample("build_info", version=status["version"])], 1)
        self.assertEqual([samples[name, ()] for name in ("token_up", "lanes_busy", "requests_waiting",
                                                         "pin_blocked")], [1, 0, 0, 0])
        made = datetime.datetime.fromisoformat(status["active"]["made"]).timestamp()
        self.assertAlmostEqual(samples["active_kek_age_seconds", ()], time.time() - made, delta=10)
        for name in ("last_probe_timestamp_seconds", "start_time_seconds"):
            self.assertTrue(0 <= time.time() - samples[name, ()] < 60, name)
        self.assertEqual(samples[sample("agent_starts_total", cause="first")], 1)

    def test_promtool_has_nothing_to_say(self):
        self.client.encrypt(V2, b"x" * 32)
        text = request(self.http, "/metrics")[2]
        done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True,
                              timeout=60, check=False)
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))
        self.assertLess(len(parse(text)), 1000)

    def test_rotation_is_counted(self):
        before = self.scrape()
        subprocess.run([program("P11KMS_BUILD_DIR", "p11-kms"), "keys", "rotate", "--config", self.daemon.config],
                       capture_output=True, timeout=60, check=True)
        after, status = self.scrape(), self.status()
        self.assertEqual(after[sample("agent_starts_total", cause="maker")] -
                         before[sample("agent_starts_total", cause="maker")] > 0, True)
        self.assertEqual(after[operations("generate", "ok")] - before[operations("generate", "ok")], 1)
        for state in ("pre-active", "active", "deactivated", "compromised"):
            self.assertEqual(after[sample("keks", state=state)], status["keys"][state], state)
        self.assertEqual(after[sample("keks", state="pre-active")], 1)


class Faults(Case):
    """What a token or an agent does to it."""

    def begin_faulty(self):
        self.token = Token(self)
        self.script = self.token.dir + "/script"
        write(self.script, f"module {MODULE}\n")
        module = os.path.abspath(program("P11KMS_BUILD_DIR", "faultp11.so"))
        self.token.env.update({"FAULTP11_SCRIPT": self.script})
        self.begin(token=self.token, init=True, tokens=QUIET, more=RESCAN_NEVER, module=module)

    def fault(self, function, action):
        write(self.token.dir + "/once", "")
        write(self.script + ".new", f"module {MODULE}\non {function} once {self.token.dir}/once {action}\n")
        os.replace(self.script + ".new", self.script)

    def test_an_agent_that_dies(self):
        self.begin_faulty()
        before = self.scrape()
        self.fault("C_Encrypt", "crash")
        self.fails(grpc.StatusCode.UNAVAILABLE, self.client.encrypt, V2, b"x" * 32)
        self.await_agents(before, "killed")
        self.assert_counted(before, {
            requests(V2, "Encrypt", "UNAVAILABLE"): 1, operations("seal", "unavailable"): 1,
            sample("agent_starts_total", cause="killed"): 1}, but=("list", "probe"))

    def test_an_agent_that_hangs(self):
        self.begin_faulty()
        before = self.scrape()
        self.fault("C_Encrypt", "hang")
        call = self.client.start(V2, "Encrypt", Client.encrypt_request(V2, b"x" * 32), timeout=10)
        eventually(10, lambda: None if self.scrape()["lanes_busy", ()] == 1 else "none busy", "a busy lane")
        self.assertEqual(call.exception().code(), grpc.StatusCode.UNAVAILABLE)
        self.await_agents(before, "hung")
        after = self.assert_counted(before, {
            requests(V2, "Encrypt", "UNAVAILABLE"): 1, operations("seal", "timeout"): 1,
            sample("agent_starts_total", cause="hung"): 1}, but=("list", "probe"))
        self.assertGreater(after["token_operation_duration_seconds_sum", (("op", "seal"),)], 2)
        self.assertGreater(after[("request_duration_seconds_sum", (("api", "v2"), ("method", "Encrypt")))], 2)
        self.assertEqual(after["lanes_busy", ()], 0)

    def test_a_token_that_fails(self):
        self.begin_faulty()
        before = self.scrape()
        self.fault("C_Encrypt", "return CKR_DEVICE_ERROR")  # CKR_DEVICE_ERROR: only a new agent may mend it
        self.fails(grpc.StatusCode.UNAVAILABLE, self.client.encrypt, V2, b"x" * 32)
        self.await_agents(before, "token_failed")
        self.assert_counted(before, {
            requests(V2, "Encrypt", "UNAVAILABLE"): 1, operations("seal", "unavailable"): 1,
            sample("agent_starts_total", cause="token_failed"): 1}, but=("list", "probe"))

    def await_agents(self, before, cause):
        key = sample("agent_starts_total", cause=cause)
        eventually(20, lambda: None if self.scrape()[key] > before[key] else "none", f"an agent after {cause}")
        self.await_ready()

    def differs_from_status(self):
        """None, or how; each agent of an outage may say another line, so only equal ones around count."""
        before, terse, verbose = self.client.status(V2)[1], self.get("/readyz"), self.get("/readyz?verbose")
        if before != self.client.status(V2)[1]:
            return "Status changes"
        wanted = (503, before + "\n"), (
            503, f"[+]ping ok\n[+]main-loop ok\n[+]grpc ok\n[-]token failed: {before}\nreadyz check failed\n")
        return None if (terse, verbose) == wanted else ((terse, verbose), wanted)

    def test_a_token_that_is_away(self):
        self.begin(tokens="  probeEvery: 1s\n")
        client = Client(self.daemon.socket)
        self.addCleanup(client.close)
        self.assertEqual(self.get("/readyz"), (200, "ok"))
        probed = self.scrape()["last_probe_timestamp_seconds", ()]
        eventually(10, lambda: None if self.scrape()["last_probe_timestamp_seconds", ()] > probed else probed,
                   "another probe")
        self.daemon.token.hide()
        self.await_not_ready()
        eventually(10, self.differs_from_status, "readyz as Status says it")
        for path in ("/livez", "/healthz"):
            self.assertEqual(self.get(path), (200, "ok"))
        self.assertEqual(self.get("/livez?verbose"), (
            200, "[+]ping ok\n[+]main-loop ok\n[+]grpc ok\nlivez check passed\n"))
        self.assertEqual(client.method(HEALTH)(b"", timeout=3), NOT_SERVING)
        away = self.scrape()
        self.assertEqual([away[name, ()] for name in ("ready", "token_up", "pin_blocked")], [0, 0, 0])
        self.assertFalse(self.status()["ok"])
        self.assertEqual(self.scrape()["last_probe_timestamp_seconds", ()], away["last_probe_timestamp_seconds", ()])
        self.daemon.token.restore()
        self.await_ready()
        back = self.scrape()
        self.assertEqual([back[name, ()] for name in ("ready", "token_up")], [1, 1])
        self.assertGreater(back["last_probe_timestamp_seconds", ()], away["last_probe_timestamp_seconds", ()])
        self.assertEqual(client.method(HEALTH)(b"", timeout=3), SERVING)

    def test_a_pin_that_is_refused(self):
        self.begin()
        pin = self.daemon.token.pin
        self.daemon.stop()
        os.unlink(pin)
        write(pin, "4321\n")
        with self.assertRaises(AssertionError):
            self.daemon.start_within(0.5)
        self.await_not_ready()
        eventually(20, lambda: None if self.scrape()["pin_blocked", ()] == 1 else self.get("/readyz"), "a blocked PIN")
        self.assertIn("PIN", self.get("/readyz")[1])
        self.assertEqual(self.get("/livez"), (200, "ok"))
        os.unlink(pin)
        write(pin, "1234\n")
        self.daemon.rescan()
        self.await_ready()
        self.assertEqual(self.scrape()["pin_blocked", ()], 0)


class Serving(Case):
    """How it is served, whatever the clients do."""

    def test_grpc_health(self):
        self.begin()
        check = self.client.method(HEALTH)
        for service in ("", "v1beta1.KeyManagementService", "v2alpha1.KeyManagementService",
                        "v2.KeyManagementService"):
            self.assertEqual(check(field(1, service), timeout=3), SERVING, service)
        for service in ("v2.KeyManagementServic", "v3.KeyManagementService", "p11kms.admin.v1.Admin", "\0"):
            self.fails(grpc.StatusCode.NOT_FOUND, lambda name: check(field(1, name), timeout=3), service)
        self.fails(grpc.StatusCode.INVALID_ARGUMENT, lambda: check(b"\xff", timeout=3))
        watch = self.client.channel.unary_stream("/grpc.health.v1.Health/Watch")
        self.fails(grpc.StatusCode.UNIMPLEMENTED, lambda: next(watch(b"", timeout=3)))
        key = sample("requests_total", api="grpc.health.v1", method="Check", code="OK")
        self.assertEqual(self.scrape()[key], 4)

    def test_a_port_outlives_the_front_end(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.begin(top=f"http: 127.0.0.1:{port}\n")
        place = ("127.0.0.1", port)
        self.assertEqual(request(place, "/livez")[::2], (200, "ok"))
        self.assertEqual(request(place, "/livez", "HEAD")[::2], (200, ""))
        self.assertEqual(request(place, "/livez", "POST")[0], 405)
        self.assertEqual(request(place, "/")[0], 404)
        started = scrape(place)["start_time_seconds", ()]
        os.kill(self.daemon.front_end(), signal.SIGKILL)
        # Nobody is refused: what asks meanwhile waits in the socket's queue, which the monitor holds.
        eventually(20, lambda: None if request(place, "/readyz")[0] == 200 else "not ready", "a new front end")
        self.assertGreater(scrape(place)["start_time_seconds", ()], started)

    def test_a_stopped_front_end_is_replaced(self):
        """With this watchdog the monitor asks every second and waits 2 s; tests/drills/run has the 10 s without."""
        self.begin(env={"WATCHDOG_USEC": "4000000"})
        stopped, began = self.daemon.front_end(), time.monotonic()
        os.kill(stopped, signal.SIGSTOP)
        eventually(10, lambda: running_threads(stopped) or None, "the stop of every thread")
        other = Client(self.daemon.socket)
        self.addCleanup(other.close)
        call = other.start(V2, "Status", b"", timeout=60)  # waits in the queue of the socket
        self.assertEqual(request(self.http, "/livez", timeout=60)[0], 200)
        took = time.monotonic() - began
        print(f"figure: a stopped front end is replaced after {took:.1f} s", flush=True)
        self.assertTrue(1.5 < took < 22, took)
        self.assertIsNone(call.exception())
        self.assertNotEqual(self.daemon.front_end(), stopped)
        self.await_ready()
        with open(self.daemon.log, encoding="utf-8") as log:
            self.assertIn("the front end hangs and is killed", log.read())

    def test_two_daemons_cannot_have_one_port(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            token = Token(self)
            config = token.dir + "/c.yaml"
            write(config, f"apiVersion: p11-kms/v1\nsocket: unix://{token.dir}/s\nadminSocket: unix://{token.dir}/a\n"
                  f"stateDir: {token.dir}/state\nhttp: 127.0.0.1:{other.getsockname()[1]}\n"
                  "token:\n  module: /m.so\n  uri: \"pkcs11:token=a\"\n  pinSource: protected\n")
            done = subprocess.run([program("P11KMS_BUILD_DIR", "p11-kmsd"), "--config", config], capture_output=True,
                                  text=True, timeout=60, check=False)
            self.assertEqual(done.returncode, 4, done.stderr)
            self.assertIn("http: cannot bind 127.0.0.1:", done.stderr)

    def test_kms_calls_go_on_under_a_flood(self):
        self.begin()
        stop, scrapes = threading.Event(), []

        def slow():
            """Byte by byte, on more connections than there are places."""
            held = []
            while not stop.is_set():
                try:
                    one = socket.socket(socket.AF_UNIX)
                    one.settimeout(1)
                    one.connect(self.http)
                    one.send(b"GET /metrics HTTP/1.1\r\nX: ")
                    held.append(one)
                    for each in held[-100:]:
                        each.send(b"a")
                except OSError:
                    pass
                if len(held) > 300:
                    held.pop(0).close()
            for each in held:
                each.close()

        def fast():
            while not stop.is_set():
                try:
                    scrapes.append(request(self.http, "/metrics", timeout=30)[0])
                except OSError:
                    scrapes.append(0)

        def calls(n):
            took = []
            for _ in range(n):
                began = time.monotonic()
                self.client.decrypt(V2, sealed)
                took.append(time.monotonic() - began)
            took.sort()
            return f"p50 {took[n // 2] * 1e3:.2f} ms, p99 {took[n * 99 // 100] * 1e3:.2f} ms, worst {took[-1] * 1e3:.1f} ms"

        sealed = self.client.encrypt(V2, b"x" * 32)
        calm = calls(500)
        threads = [threading.Thread(target=target) for target in (slow, fast, fast)]
        for thread in threads:
            thread.start()
        try:
            flooded = calls(500)  # none fails, or this would
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        print(f"figure: Decrypt alone: {calm}; beside a flood of HTTP: {flooded}; {scrapes.count(200)} scrapes", flush=True)
        self.assertGreater(scrapes.count(200), 0)
        self.assertEqual(self.get("/livez"), (200, "ok"))
        self.assertEqual(self.scrape()[requests(V2, "Decrypt", "OK")], 1000)


if __name__ == "__main__":
    unittest.main(verbosity=2)
