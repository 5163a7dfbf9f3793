"""What a Python program does with a broker. Run by pika.test.ts: without arguments it lists the cases as JSON, with a URL
and a name it runs one of them."""

import datetime
import decimal
import json
import socket
import sys
import time

import pika
import pika.exceptions

cases = {}


def case(function):
    cases[function.__name__] = function
    return function


def expect(value, wanted):
    if value != wanted:
        raise AssertionError(f"expected {wanted!r}, got {value!r}")


def raises(kind, function):
    try:
        function()
    except kind as error:
        return error
    raise AssertionError(f"expected {kind.__name__}")


def open_connection(url, **options):
    parameters = pika.URLParameters(url + "/%2F")
    for name, value in options.items():
        setattr(parameters, name, value)
    return pika.BlockingConnection(parameters)


persistent = pika.BasicProperties(delivery_mode=2)


@case
def confirms(url):
    """publishes with confirms, and is told what goes nowhere"""
    channel = open_connection(url).channel()
    channel.queue_declare("confirmed", durable=True)
    channel.confirm_delivery()
    for number in range(100):
        channel.basic_publish("", "confirmed", str(number).encode(), persistent, mandatory=True)
    error = raises(
        pika.exceptions.UnroutableError,
        lambda: channel.basic_publish("", "nowhere", b"lost", persistent, mandatory=True),
    )
    expect([message.body for message in error.messages], [b"lost"])
    expect(error.messages[0].method.reply_code, 312)
    channel.basic_publish("", "nowhere", b"lost, but nobody asked")
    expect(channel.queue_delete("confirmed").method.message_count, 100)
    channel.connection.close()


@case
def returns(url):
    """hears of returned messages through a callback"""
    connection = open_connection(url)
    channel = connection.channel()
    returned = []
    channel.add_on_return_callback(lambda _channel, method, _properties, body: returned.append((method.reply_text, body)))
    channel.basic_publish("amq.direct", "no-such-key", b"back", mandatory=True)
    while not returned:
        connection.process_data_events(time_limit=1)
    expect(returned, [("NO_ROUTE", b"back")])
    connection.close()


@case
def consumes(url):
    """consumes with a prefetch, acknowledges, rejects and requeues"""
    connection = open_connection(url)
    channel = connection.channel()
    queue = channel.queue_declare("", exclusive=True).method.queue
    for number in range(10):
        channel.basic_publish("", queue, str(number).encode())
    channel.basic_qos(prefetch_count=3)
    seen = []

    def on_message(_channel, method, _properties, body):
        seen.append((body.decode(), method.redelivered))
        if body == b"4" and not method.redelivered:
            channel.basic_nack(method.delivery_tag, requeue=True)
        elif body == b"5":
            channel.basic_reject(method.delivery_tag, requeue=False)
        else:
            channel.basic_ack(method.delivery_tag)
        if len(seen) == 11:
            channel.stop_consuming()

    channel.basic_consume(queue, on_message)
    channel.start_consuming()
    expect(sorted(body for body, redelivered in seen if not redelivered), [str(number) for number in range(10)])
    expect([body for body, redelivered in seen if redelivered], ["4"])
    expect(channel.queue_declare(queue, passive=True).method.message_count, 0)
    connection.close()


@case
def iterates(url):
    """consumes with a generator and gives back what it did not take"""
    connection = open_connection(url)
    channel = connection.channel()
    queue = channel.queue_declare("", exclusive=True).method.queue
    for number in range(6):
        channel.basic_publish("", queue, str(number).encode())
    taken = []
    for method, _properties, body in channel.consume(queue, inactivity_timeout=10):
        taken.append(body)
        channel.basic_ack(method.delivery_tag)
        if len(taken) == 3:
            break
    channel.cancel()
    expect(taken, [b"0", b"1", b"2"])
    method, _properties, body = channel.basic_get(queue, auto_ack=True)
    expect((body, method.message_count), (b"3", 2))
    connection.close()


@case
def gets(url):
    """gets one message at a time"""
    connection = open_connection(url)
    channel = connection.channel()
    queue = channel.queue_declare("", exclusive=True).method.queue
    expect(channel.basic_get(queue), (None, None, None))
    for body in (b"", b"x", b"y" * 5_000_000):
        channel.basic_publish("", queue, body)
    sizes = []
    for left in (2, 1, 0):
        method, _properties, body = channel.basic_get(queue)
        expect(method.message_count, left)
        sizes.append(len(body))
        channel.basic_ack(method.delivery_tag)
    expect(sizes, [0, 1, 5_000_000])
    connection.close()


@case
def transactions(url):
    """commits and rolls back"""
    connection = open_connection(url)
    channel = connection.channel()
    other = connection.channel()
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.tx_select()
    channel.basic_publish("", queue, b"one")
    channel.basic_publish("", queue, b"two")
    expect(other.basic_get(queue)[0], None)
    channel.tx_commit()
    channel.basic_publish("", queue, b"three")
    channel.tx_rollback()
    method, _properties, body = channel.basic_get(queue)
    expect(body, b"one")
    channel.basic_ack(method.delivery_tag)
    channel.tx_rollback()
    channel.basic_ack(method.delivery_tag)
    channel.tx_commit()
    expect(other.basic_get(queue)[2], b"two")
    expect(other.basic_get(queue)[0], None)
    connection.close()


@case
def properties(url):
    """carries all properties and the types of Python in headers"""
    connection = open_connection(url)
    channel = connection.channel()
    queue = channel.queue_declare("", exclusive=True).method.queue
    headers = {
        "text": "grüße 你好",
        "bytes": b"\x00\xff",
        "true": True,
        "none": None,
        "small": -1,
        "large": 2**40,
        "decimal": decimal.Decimal("3.14"),
        "time": datetime.datetime(2023, 11, 14, 22, 13, 20),
        "list": [1, "two", [3, {"four": False}]],
        "table": {"a": {"b": {}}},
    }
    sent = pika.BasicProperties(
        content_type="text/plain",
        content_encoding="utf-8",
        headers=headers,
        delivery_mode=2,
        priority=3,
        correlation_id="c",
        reply_to="r",
        message_id="m",
        timestamp=1_700_000_000,
        type="t",
        user_id="guest",
        app_id="a",
    )
    channel.basic_publish("", queue, b"body", sent)
    _method, received, body = channel.basic_get(queue, auto_ack=True)
    expect(body, b"body")
    expect(received.headers, headers)
    received.headers = sent.headers = None
    expect(received, sent)
    connection.close()


@case
def errors(url):
    """raises what the broker says, and may go on with another channel"""
    connection = open_connection(url)
    error = raises(
        pika.exceptions.ChannelClosedByBroker, lambda: connection.channel().queue_declare("nowhere", passive=True)
    )
    expect((error.reply_code, error.reply_text), (404, "NOT_FOUND - no queue 'nowhere' in vhost '/'"))
    channel = connection.channel()
    channel.queue_declare("twice", durable=True)
    error = raises(pika.exceptions.ChannelClosedByBroker, lambda: channel.queue_declare("twice", durable=False))
    expect(
        (error.reply_code, error.reply_text),
        (
            406,
            "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'twice' in vhost '/': "
            "received 'false' but current is 'true'",
        ),
    )
    connection.channel().queue_delete("twice")
    queue = connection.channel().queue_declare("", exclusive=True).method.queue
    other = open_connection(url)
    error = raises(pika.exceptions.ChannelClosedByBroker, lambda: other.channel().queue_declare(queue, passive=True))
    expect(error.reply_code, 405)
    other.close()
    connection.close()
    raises(
        pika.exceptions.ProbableAuthenticationError,
        lambda: open_connection(url, credentials=pika.PlainCredentials("guest", "wrong")),
    )


@case
def heartbeats(url):
    """stays connected while idle, with a heartbeat each second"""
    connection = open_connection(url, heartbeat=1)
    channel = connection.channel()
    queue = channel.queue_declare("", exclusive=True).method.queue
    until = time.monotonic() + 4
    # pika itself gives up on a broker that does not send its heartbeats.
    while time.monotonic() < until:
        connection.process_data_events(time_limit=0.2)
    channel.basic_publish("", queue, b"still here")
    expect(channel.basic_get(queue, auto_ack=True)[2], b"still here")
    connection.close()


@case
def silence(url):
    """is cut off when it sends no heartbeats"""
    # By hand, for pika always sends them.
    address = pika.URLParameters(url)
    peer = socket.create_connection((address.host, address.port), timeout=20)

    def say(method):
        peer.sendall(pika.frame.Method(0, method).marshal())

    peer.sendall(pika.frame.ProtocolHeader().marshal())
    peer.recv(65536)
    say(pika.spec.Connection.StartOk({}, "PLAIN", "\0guest\0guest", "en_US"))
    peer.recv(65536)
    say(pika.spec.Connection.TuneOk(2047, 131072, 1))
    say(pika.spec.Connection.Open("/"))
    began = time.monotonic()
    try:
        while peer.recv(65536):
            pass
    except ConnectionResetError:
        pass
    # Two intervals without a sign, as the specification says, and the time until somebody looks.
    seconds = time.monotonic() - began
    if not 1 < seconds < 10:
        raise AssertionError(f"cut off after {seconds} s")


@case
def request_and_reply(url):
    """asks, and is answered by another connection through reply_to and correlation_id"""
    client = open_connection(url)
    server = open_connection(url)
    asking, answering = client.channel(), server.channel()
    requests = answering.queue_declare("", exclusive=False, auto_delete=True).method.queue
    answers = asking.queue_declare("", exclusive=True).method.queue
    asking.basic_publish("", requests, b"question", pika.BasicProperties(reply_to=answers, correlation_id="q1"))
    for method, received, body in answering.consume(requests, inactivity_timeout=10):
        reply = pika.BasicProperties(correlation_id=received.correlation_id)
        answering.basic_publish("", received.reply_to, body.upper(), reply)
        answering.basic_ack(method.delivery_tag)
        break
    for _method, received, body in asking.consume(answers, auto_ack=True, inactivity_timeout=10):
        expect((received.correlation_id, body), ("q1", b"QUESTION"))
        break
    client.close()
    server.close()


if len(sys.argv) == 1:
    print(json.dumps([[name, function.__doc__] for name, function in cases.items()]))
else:
    cases[sys.argv[2]](sys.argv[1])
