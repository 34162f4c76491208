#!/usr/bin/env python3
"""The least that an integration in Python has to do: one value of one kind of alert, no retry, no escaping.

It is here to be measured, not to be used: see README.md. Arguments are those of integratord: the alert file, the key,
the address of MISP.
"""
import json
import os
import socket
import sys

import requests

home = os.path.dirname(os.path.dirname(os.path.realpath(sys.argv[0])))
with open(sys.argv[1]) as file:
    alert = json.load(file)
value = alert["syscheck"]["sha256_after"]
answer = requests.post(
    sys.argv[3].rstrip("/") + "/attributes/restSearch",
    json={"returnFormat": "json", "value": value},
    headers={"Authorization": sys.argv[2], "Accept": "application/json"},
    timeout=5,
)
for attribute in answer.json()["response"]["Attribute"][:1]:
    event = {"integration": "misp", "misp": {"value": attribute["value"], "event_id": attribute["event_id"]}}
    queue = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    queue.connect(os.path.join(home, "queue", "sockets", "queue"))
    queue.send(("1:misp:" + json.dumps(event)).encode())
    queue.close()
