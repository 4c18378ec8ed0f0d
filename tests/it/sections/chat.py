"""Tests of chat.py, whose folder is the only argument: what a chat is sent, by a server that stands for the chat."""

import http.server
import json
import os
import sys
import threading
import types
import unittest

sys.path.insert(0, sys.argv.pop())

ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:chat-AbCdEf"
SECRETS = {}
READS = []


class Secrets:
    def get_secret_value(self, SecretId):
        READS.append(SecretId)
        return {"SecretString": SECRETS[SecretId]}


sys.modules["boto3"] = types.SimpleNamespace(client=lambda _service: Secrets())

import chat  # noqa: E402 (it imports boto3, which is the one above)


class Server(http.server.BaseHTTPRequestHandler):
    posts = []
    status = 200

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Server.posts.append((self.path, self.headers["Content-Type"], json.loads(body)))
        self.send_response(Server.status)
        self.end_headers()

    def log_message(self, *_):
        pass


class Chat(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()
        cls.url = f"http://127.0.0.1:{cls.server.server_port}/T/secret-key"

    @classmethod
    def tearDownClass(cls):
        cls.server.shutdown()
        cls.server.server_close()

    def setUp(self):
        os.environ.update(CHAT_ERROR=ARN, RESPOND_ERROR="15m", WATCHED="acme production")
        SECRETS.clear()
        SECRETS[ARN] = self.url + "\n"
        Server.posts, Server.status = [], 200
        READS.clear()
        chat.ADDRESSES.clear()

    def send(self, message, severity="error", **more):
        text = message if isinstance(message, str) else json.dumps(message)
        topic = f"arn:aws:sns:us-east-1:123456789012:acme-production-{severity}"
        chat.handler({"Records": [{"Sns": {"TopicArn": topic, "Message": text, **more}}]}, None)
        return Server.posts[-1][2]["text"]

    def alarm(self, state):
        return self.send({
            "AlarmName": "acme-production-many-errors",
            "AlarmDescription": "Many errors. Runbook: https://example.com/runbooks/errors",
            "NewStateValue": state,
            "NewStateReason": "Threshold Crossed: 12 > 10",
        })

    def test_an_alarm_says_what_where_how_bad_why_and_what_to_do(self):
        lines = self.alarm("ALARM").split("\n")
        self.assertIn("*acme-production-many-errors*: ALARM", lines[0])
        self.assertEqual(lines[1], "acme production · error · respond within 15m")
        self.assertEqual(lines[2], "Threshold Crossed: 12 > 10")
        self.assertIn("https://example.com/runbooks/errors", lines[3])
        self.assertEqual(Server.posts[0][:2], ("/T/secret-key", "application/json"))

    def test_nobody_has_to_respond_to_an_alarm_that_is_over(self):
        text = self.alarm("OK")
        self.assertNotIn("respond", text)
        self.assertNotEqual(text[0], self.alarm("ALARM")[0])

    def test_a_failed_release_names_the_service(self):
        text = self.send({
            "detail-type": "ECS Deployment State Change",
            "resources": ["arn:aws:ecs:us-east-1:123456789012:service/acme-production-main/api-blue"],
            "detail": {"eventName": "SERVICE_DEPLOYMENT_FAILED", "reason": "ECS deployment circuit breaker: tasks failed"},
        })
        for part in ("SERVICE_DEPLOYMENT_FAILED", "service/acme-production-main/api-blue", "circuit breaker", "15m"):
            self.assertIn(part, text)

    def test_an_event_of_a_database_says_what_happened(self):
        text = self.send({
            "detail-type": "RDS DB Instance Event",
            "resources": ["arn:aws:rds:us-east-1:123456789012:db:acme-production-main"],
            "detail": {"EventID": "RDS-EVENT-0049", "Message": "A Multi-AZ failover has completed."},
        })
        for part in ("RDS-EVENT-0049", "db:acme-production-main", "A Multi-AZ failover has completed."):
            self.assertIn(part, text)

    def test_other_messages_arrive_as_they_are(self):
        self.assertIn("plain words", self.send("plain words", Subject="Backup failed"))
        self.assertIn("Backup failed", self.send("plain words", Subject="Backup failed"))
        self.assertIn('["a list"]', self.send(["a list"]))

    def test_the_address_is_read_once(self):
        self.send("one")
        self.send("two")
        self.assertEqual(READS, [ARN])

    def test_one_key_of_a_secret(self):
        os.environ["CHAT_CRITICAL"] = ARN + ":url::"
        SECRETS[ARN] = json.dumps({"url": self.url, "other": "x"})
        self.send("one", severity="critical")
        self.assertEqual((READS, Server.posts[0][0]), ([ARN], "/T/secret-key"))

    def test_a_failure_is_raised_without_the_address_which_is_read_again(self):
        Server.status = 500
        with self.assertRaises(RuntimeError) as raised:
            self.send("one")
        self.assertIn("500", str(raised.exception))
        self.assertNotIn("secret-key", str(raised.exception))
        self.assertIsNone(raised.exception.__cause__)
        Server.status = 200
        self.send("one")
        self.assertEqual(READS, [ARN, ARN])

    def test_an_address_that_is_none_is_not_repeated_in_the_log(self):
        SECRETS[ARN] = "no address, and secret-key"
        with self.assertRaises(RuntimeError) as raised:
            self.send("one")
        self.assertNotIn("secret-key", str(raised.exception))


if __name__ == "__main__":
    unittest.main()
