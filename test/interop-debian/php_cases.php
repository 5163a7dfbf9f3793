<?php
// What a PHP program does with a broker. Run by php.test.ts: without arguments it lists the cases as JSON, with a URL and a
// name it runs one of them.

require_once '/usr/share/php/PhpAmqpLib/autoload.php';

use PhpAmqpLib\Channel\AMQPChannel;
use PhpAmqpLib\Connection\AMQPStreamConnection;
use PhpAmqpLib\Exception\AMQPConnectionClosedException;
use PhpAmqpLib\Exception\AMQPProtocolChannelException;
use PhpAmqpLib\Exchange\AMQPExchangeType;
use PhpAmqpLib\Message\AMQPMessage;
use PhpAmqpLib\Wire\AMQPAbstractCollection as Type;
use PhpAmqpLib\Wire\AMQPArray;
use PhpAmqpLib\Wire\AMQPTable;

function expect($got, $wanted): void
{
    if ($got !== $wanted) {
        throw new Exception('expected ' . var_export($wanted, true) . ', got ' . var_export($got, true));
    }
}

function refused(int $code, string $words, callable $attempt): void
{
    try {
        $attempt();
    } catch (AMQPProtocolChannelException | AMQPConnectionClosedException $error) {
        expect($error->getCode(), $code);
        expect(strpos($error->getMessage(), $words) !== false ? $words : $error->getMessage(), $words);
        return;
    }
    throw new Exception("expected $code $words");
}

function connectTo(string $url, string $password = 'guest', array $options = []): AMQPStreamConnection
{
    $address = parse_url($url);
    $hosts = [['host' => $address['host'], 'port' => $address['port'], 'user' => 'guest', 'password' => $password]];
    return AMQPStreamConnection::create_connection($hosts, $options);
}

function exclusiveQueue(AMQPChannel $channel): string
{
    return $channel->queue_declare('', false, false, true, false)[0];
}

/** @return string[] the bodies that are ready */
function drain(AMQPChannel $channel, string $queue): array
{
    $bodies = [];
    while (($message = $channel->basic_get($queue, true)) !== null) {
        $bodies[] = $message->body;
    }
    return $bodies;
}

/** A table with a value of the type under each name. */
function table(array $typed): AMQPTable
{
    $table = new AMQPTable();
    foreach ($typed as $name => [$value, $type]) {
        $table->set($name, $value, $type);
    }
    return $table;
}

$cases = [];

$cases['confirms'] = ['publishes with confirms, and waits for all of them', function (string $url) {
    $connection = connectTo($url);
    $channel = $connection->channel();
    $channel->queue_declare('php.confirmed', false, true, false, false);
    $tags = [];
    $channel->set_ack_handler(function (AMQPMessage $message) use (&$tags) {
        $tags[] = $message->getDeliveryTag();
    });
    $channel->set_nack_handler(function () {
        throw new Exception('refused');
    });
    $channel->confirm_select();
    for ($number = 0; $number < 100; $number++) {
        $message = new AMQPMessage((string) $number, ['delivery_mode' => AMQPMessage::DELIVERY_MODE_PERSISTENT]);
        $channel->basic_publish($message, '', 'php.confirmed', true);
    }
    $channel->wait_for_pending_acks_returns(10);
    expect($tags, range(1, 100));
    expect($channel->queue_purge('php.confirmed'), 100);
    expect($channel->queue_delete('php.confirmed', true, true), 0);
    $connection->close();
}];

$cases['returns'] = ['hears of what goes nowhere before it is confirmed', function (string $url) {
    $connection = connectTo($url);
    $channel = $connection->channel();
    $heard = [];
    $channel->set_return_listener(function ($code, $text, $exchange, $key, AMQPMessage $message) use (&$heard) {
        $heard[] = "$code $text $exchange $key $message->body";
    });
    $channel->set_ack_handler(function () use (&$heard) {
        $heard[] = 'confirmed';
    });
    $channel->confirm_select();
    $channel->basic_publish(new AMQPMessage('back'), 'amq.direct', 'no-such-key', true);
    $channel->wait_for_pending_acks_returns(10);
    expect($heard, ['312 NO_ROUTE amq.direct no-such-key back', 'confirmed']);
    $connection->close();
}];

$cases['consumes'] = ['consumes with a prefetch, acknowledges, rejects and requeues', function (string $url) {
    $connection = connectTo($url);
    $channel = $connection->channel();
    $queue = exclusiveQueue($channel);
    foreach (range(0, 9) as $number) {
        $channel->batch_basic_publish(new AMQPMessage((string) $number), '', $queue);
    }
    $channel->publish_batch();
    $channel->basic_qos(0, 3, false);
    $seen = [];
    $channel->basic_consume($queue, 'mine', false, false, false, false, function (AMQPMessage $message) use (&$seen) {
        expect($message->getConsumerTag(), 'mine');
        $seen[] = $message->body . ($message->isRedelivered() ? ' again' : '');
        if ($message->body === '4' && !$message->isRedelivered()) {
            $message->nack(true);
        } elseif ($message->body === '5') {
            $message->reject(false);
        } else {
            $message->ack();
        }
    });
    while (count($seen) < 11) {
        $channel->wait(null, false, 10);
    }
    sort($seen);
    expect($seen, ['0', '1', '2', '3', '4', '4 again', '5', '6', '7', '8', '9']);
    $channel->basic_cancel('mine');
    expect(drain($channel, $queue), []);
    $connection->close();
}];

$cases['gets'] = ['gets one message at a time, a large one too', function (string $url) {
    $connection = connectTo($url);
    $channel = $connection->channel();
    $queue = exclusiveQueue($channel);
    expect($channel->basic_get($queue), null);
    $bodies = ['', 'x', str_repeat('y', 5000000)];
    foreach ($bodies as $body) {
        $channel->basic_publish(new AMQPMessage($body), '', $queue);
    }
    foreach ($bodies as $at => $body) {
        $message = $channel->basic_get($queue);
        expect([strlen($message->body), $message->getMessageCount()], [strlen($body), 2 - $at]);
        $message->ack();
    }
    $connection->close();
}];

$cases['transactions'] = ['commits and rolls back', function (string $url) {
    $connection = connectTo($url);
    $channel = $connection->channel();
    $other = $connection->channel();
    $queue = exclusiveQueue($channel);
    $channel->tx_select();
    $channel->basic_publish(new AMQPMessage('rolled back'), '', $queue);
    $channel->tx_rollback();
    $channel->basic_publish(new AMQPMessage('committed'), '', $queue);
    expect(drain($other, $queue), []);
    $channel->tx_commit();
    expect(drain($other, $queue), ['committed']);
    $connection->close();
}];

$cases['exchanges'] = ['binds exchanges to exchanges, and queues by headers', function (string $url) {
    $connection = connectTo($url);
    $channel = $connection->channel();
    $queue = exclusiveQueue($channel);
    $channel->exchange_declare('php.source', AMQPExchangeType::TOPIC, false, false, true);
    $channel->exchange_declare('php.middle', AMQPExchangeType::HEADERS, false, false, true);
    $channel->queue_bind($queue, 'php.middle', '', false, new AMQPTable(['x-match' => 'all', 'colour' => 'red', 'size' => 3]));
    $channel->exchange_bind('php.middle', 'php.source', '*.b');
    foreach (['a.b' => 'red', 'c.b' => 'blue', 'a' => 'red'] as $key => $colour) {
        $headers = new AMQPTable(['colour' => $colour, 'size' => 3, 'more' => true]);
        $channel->basic_publish(new AMQPMessage($key, ['application_headers' => $headers]), 'php.source', $key);
    }
    expect(drain($channel, $queue), ['a.b']);
    $channel->exchange_unbind('php.middle', 'php.source', '*.b');
    refused(404, "no exchange 'php.source'", function () use ($channel) {
        $channel->exchange_declare('php.source', AMQPExchangeType::TOPIC, true);
    });
    $connection->close();
}];

$cases['types'] = ['carries every type of a table that it can write there and back', function (string $url) {
    $connection = connectTo($url);
    $channel = $connection->channel();
    $queue = exclusiveQueue($channel);
    $typed = [
        'true' => [true, Type::T_BOOL],
        'void' => [null, Type::T_VOID],
        'int8' => [-8, Type::T_INT_SHORTSHORT],
        'uint8' => [200, Type::T_INT_SHORTSHORT_U],
        'int16' => [-1600, Type::T_INT_SHORT],
        'uint16' => [65000, Type::T_INT_SHORT_U],
        'int32' => [-320000, Type::T_INT_LONG],
        'uint32' => [4000000000, Type::T_INT_LONG_U],
        'int64' => [-(1 << 60), Type::T_INT_LONGLONG],
        'text' => ['grüße 你好', Type::T_STRING_LONG],
        'bytes' => ["\x00\xff\x01", Type::T_BYTES],
        'time' => [1700000000, Type::T_TIMESTAMP],
        'array' => [new AMQPArray([1, 'two', new AMQPArray([true, null])]), Type::T_ARRAY],
        'table' => [new AMQPTable(['a' => new AMQPTable(['b' => 'c'])]), Type::T_TABLE],
    ];
    $channel->basic_publish(new AMQPMessage('', ['application_headers' => table($typed)]), '', $queue);
    $headers = $channel->basic_get($queue, true)->get('application_headers');
    foreach ($headers as $name => [$type, $value]) {
        // The type of each comes back as it went, not only its value.
        expect([$name => $type], [$name => $typed[$name][1]]);
    }
    expect(serialize($headers->getNativeData()), serialize(table($typed)->getNativeData()));
    $connection->close();
}];

$cases['properties'] = ['carries all properties', function (string $url) {
    $connection = connectTo($url);
    $channel = $connection->channel();
    $queue = exclusiveQueue($channel);
    $sent = [
        'content_type' => 'text/plain',
        'content_encoding' => 'utf-8',
        'delivery_mode' => 2,
        'priority' => 3,
        'correlation_id' => 'c',
        'reply_to' => 'r',
        'expiration' => '60000',
        'message_id' => 'm',
        'timestamp' => 1700000000,
        'type' => 't',
        'user_id' => 'guest',
        'app_id' => 'a',
    ];
    $channel->basic_publish(new AMQPMessage('body', $sent), '', $queue);
    expect($channel->basic_get($queue, true)->get_properties(), $sent);
    $connection->close();
}];

$cases['refusals'] = ['hears why a channel was closed, and goes on with another', function (string $url) {
    $connection = connectTo($url);
    $channel = $connection->channel();
    refused(404, "NOT_FOUND - no queue 'php.nowhere' in vhost '/'", function () use ($channel) {
        $channel->queue_declare('php.nowhere', true);
    });
    $other = $connection->channel();
    $queue = exclusiveQueue($other);
    refused(405, "cannot obtain exclusive access to locked queue '$queue'", function () use ($url, $queue) {
        connectTo($url)->channel()->queue_declare($queue, true);
    });
    $connection->close();
}];

$cases['no_wait'] = ['closes a channel right behind a command that it wants no answer to', function (string $url) {
    $connection = connectTo($url, 'guest', ['read_write_timeout' => 10, 'heartbeat' => 0]);
    foreach (range(1, 20) as $_) {
        $channel = $connection->channel();
        $channel->queue_declare('php.brief', false, true, true, true);
        $channel->queue_delete('php.brief', false, false, true);
        $began = microtime(true);
        $channel->close();
        expect(microtime(true) - $began < 5, true);
    }
    $connection->close();
}];

$cases['login'] = ['is refused with a wrong password', function (string $url) {
    refused(403, 'ACCESS_REFUSED', function () use ($url) {
        connectTo($url, 'wrong');
    });
}];

if ($argc === 1) {
    $list = [];
    foreach ($cases as $name => [$sentence]) {
        $list[] = [$name, $sentence];
    }
    echo json_encode($list);
} else {
    $cases[$argv[2]][1]($argv[1]);
}
