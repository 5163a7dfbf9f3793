// What a Go program does with a broker. Run by go.test.ts: without arguments it lists the cases as JSON, with a URL and a
// name it runs one of them.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

type testCase struct {
	name, sentence string
	run            func(url string)
}

var cases = []testCase{
	{"confirms", "publishes with confirms, and waits for each", confirms},
	{"returns", "hears of what goes nowhere before it is confirmed", returns},
	{"consumes", "consumes with a prefetch, acknowledges, rejects and requeues", consumes},
	{"gets", "gets one message at a time, a large one too", gets},
	{"transactions", "commits and rolls back", transactions},
	{"exchanges", "binds exchanges to exchanges, and queues by headers", exchanges},
	{"types", "carries every type of a table there and back", types},
	{"properties", "carries all properties", properties},
	{"refusals", "hears why a channel was closed, and goes on with another", refusals},
	{"cancellation", "is told that its queue is gone", cancellation},
	{"closes", "closes from many goroutines at once, and takes none of that for an error", closes},
	{"login", "is refused with a wrong password", login},
}

func main() {
	if len(os.Args) == 1 {
		list := [][]string{}
		for _, one := range cases {
			list = append(list, []string{one.name, one.sentence})
		}
		check(json.NewEncoder(os.Stdout).Encode(list))
		return
	}
	for _, one := range cases {
		if one.name == os.Args[2] {
			one.run(os.Args[1])
			return
		}
	}
	fail("no case %q", os.Args[2])
}

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(1)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func expect(got, want any) {
	if !reflect.DeepEqual(got, want) {
		panic(fmt.Sprintf("expected %#v, got %#v", want, got))
	}
}

func refused(err error, code int, words string) {
	var reason *amqp.Error
	if !errors.As(err, &reason) || reason.Code != code || !strings.Contains(reason.Reason, words) {
		panic(fmt.Sprintf("expected %d %q, got %v", code, words, err))
	}
}

// The next of a channel, or a failure if there is none in time.
func next[T any](from <-chan T) T {
	select {
	case value, ok := <-from:
		if !ok {
			panic("ended before it came")
		}
		return value
	case <-time.After(10 * time.Second):
		panic("did not come")
	}
}

func open(url string) (*amqp.Connection, *amqp.Channel) {
	connection := must(amqp.Dial(url + "/"))
	return connection, must(connection.Channel())
}

func exclusiveQueue(channel *amqp.Channel) string {
	return must(channel.QueueDeclare("", false, false, true, false, nil)).Name
}

func publish(channel *amqp.Channel, exchange, key, body string) {
	message := amqp.Publishing{Body: []byte(body)}
	check(channel.PublishWithContext(context.Background(), exchange, key, false, false, message))
}

func drain(channel *amqp.Channel, queue string) []string {
	bodies := []string{}
	for {
		delivery, ok, err := channel.Get(queue, true)
		check(err)
		if !ok {
			return bodies
		}
		bodies = append(bodies, string(delivery.Body))
	}
}

func confirms(url string) {
	connection, channel := open(url)
	queue := must(channel.QueueDeclare("go.confirmed", true, false, false, false, nil)).Name
	check(channel.Confirm(false))
	waiting := []*amqp.DeferredConfirmation{}
	for number := 0; number < 100; number++ {
		message := amqp.Publishing{Body: []byte("x"), DeliveryMode: amqp.Persistent}
		one := must(channel.PublishWithDeferredConfirmWithContext(context.Background(), "", queue, true, false, message))
		waiting = append(waiting, one)
	}
	for at, one := range waiting {
		expect(one.Wait(), true)
		expect(one.DeliveryTag, uint64(at+1))
	}
	expect(must(channel.QueuePurge(queue, false)), 100)
	expect(must(channel.QueueDelete(queue, true, true, false)), 0)
	check(connection.Close())
}

func returns(url string) {
	connection, channel := open(url)
	check(channel.Confirm(false))
	heard := make(chan string, 2)
	returned := channel.NotifyReturn(make(chan amqp.Return, 1))
	confirmed := channel.NotifyPublish(make(chan amqp.Confirmation, 1))
	message := amqp.Publishing{Body: []byte("back"), MessageId: "m"}
	check(channel.PublishWithContext(context.Background(), "amq.direct", "no such key", true, false, message))
	for one := 0; one < 2; one++ {
		select {
		case back := <-returned:
			expect([]string{back.ReplyText, back.Exchange, back.RoutingKey, back.MessageId, string(back.Body)},
				[]string{"NO_ROUTE", "amq.direct", "no such key", "m", "back"})
			expect(back.ReplyCode, uint16(312))
			heard <- "return"
		case confirmation := <-confirmed:
			expect(confirmation, amqp.Confirmation{DeliveryTag: 1, Ack: true})
			heard <- "confirm"
		case <-time.After(10 * time.Second):
			panic("neither returned nor confirmed")
		}
	}
	expect(len(heard), 2)
	check(connection.Close())
}

func consumes(url string) {
	connection, channel := open(url)
	queue := exclusiveQueue(channel)
	for number := 0; number < 10; number++ {
		publish(channel, "", queue, fmt.Sprint(number))
	}
	check(channel.Qos(3, 0, false))
	deliveries := must(channel.Consume(queue, "mine", false, false, false, false, nil))
	first := []amqp.Delivery{next(deliveries), next(deliveries), next(deliveries)}
	select {
	case <-deliveries:
		panic("more than the prefetch came")
	case <-time.After(100 * time.Millisecond):
	}
	expect(first[0].ConsumerTag, "mine")
	check(first[0].Nack(false, true))
	again := next(deliveries)
	expect([]any{string(again.Body), again.Redelivered}, []any{"0", true})
	check(first[1].Reject(false))
	check(again.Ack(true))
	bodies := []string{}
	for len(bodies) < 7 {
		delivery := next(deliveries)
		bodies = append(bodies, string(delivery.Body))
		check(delivery.Ack(false))
	}
	expect(bodies, []string{"3", "4", "5", "6", "7", "8", "9"})
	check(channel.Cancel("mine", false))
	if _, isOpen := <-deliveries; isOpen {
		panic("a delivery after the consumer was cancelled")
	}
	expect(must(channel.QueueInspect(queue)), amqp.Queue{Name: queue})
	check(connection.Close())
}

func gets(url string) {
	connection, channel := open(url)
	queue := exclusiveQueue(channel)
	large := strings.Repeat("y", 5_000_000)
	for _, body := range []string{"", "x", large} {
		publish(channel, "", queue, body)
	}
	for at, body := range []string{"", "x", large} {
		delivery, ok, err := channel.Get(queue, false)
		check(err)
		expect([]any{ok, delivery.MessageCount, string(delivery.Body) == body}, []any{true, uint32(2 - at), true})
		check(delivery.Ack(false))
	}
	_, ok, err := channel.Get(queue, false)
	check(err)
	expect(ok, false)
	check(connection.Close())
}

func transactions(url string) {
	connection, channel := open(url)
	other := must(connection.Channel())
	queue := exclusiveQueue(channel)
	check(channel.Tx())
	publish(channel, "", queue, "rolled back")
	check(channel.TxRollback())
	publish(channel, "", queue, "committed")
	expect(drain(other, queue), []string{})
	check(channel.TxCommit())
	delivery, _, err := channel.Get(queue, false)
	check(err)
	check(delivery.Ack(false))
	check(channel.TxRollback())
	check(channel.Close())
	expect(drain(other, queue), []string{"committed"})
	check(connection.Close())
}

func exchanges(url string) {
	connection, channel := open(url)
	queue := exclusiveQueue(channel)
	for name, kind := range map[string]string{"go.source": "topic", "go.middle": "headers"} {
		check(channel.ExchangeDeclare(name, kind, false, true, false, false, nil))
	}
	check(channel.QueueBind(queue, "", "go.middle", false, amqp.Table{"x-match": "any", "colour": "red", "size": int32(3)}))
	check(channel.ExchangeBind("go.middle", "a.#", "go.source", false, nil))
	send := func(key string, headers amqp.Table) {
		message := amqp.Publishing{Body: []byte(key), Headers: headers}
		check(channel.PublishWithContext(context.Background(), "go.source", key, false, false, message))
	}
	send("a", amqp.Table{"colour": "red"})
	send("a.b", amqp.Table{"colour": "blue", "size": int64(3)})
	send("a.c", amqp.Table{"colour": "blue"})
	send("b", amqp.Table{"colour": "red"})
	expect(drain(channel, queue), []string{"a", "a.b"})
	check(channel.ExchangeUnbind("go.middle", "a.#", "go.source", false, nil))
	refused(channel.ExchangeDeclarePassive("go.source", "topic", false, true, false, false, nil), 404, "go.source")
	check(connection.Close())
}

func types(url string) {
	connection, channel := open(url)
	queue := exclusiveQueue(channel)
	headers := amqp.Table{
		"true": true, "false": false, "nil": nil,
		"int8": int8(-8), "byte": byte(200), "int16": int16(-1600), "int32": int32(-320_000), "int64": int64(-1) << 60,
		"float32": float32(1.5), "float64": 0.1, "decimal": amqp.Decimal{Scale: 2, Value: 314},
		"string": "grüße 你好", "empty": "", "bytes": []byte{0, 255, 1}, "time": time.Unix(1_700_000_000, 0).UTC(),
		"array": []any{int32(1), "two", []any{true, nil}, amqp.Table{"in": "array"}},
		"table": amqp.Table{"a": amqp.Table{"b": amqp.Table{}}},
	}
	message := amqp.Publishing{Headers: headers}
	check(channel.PublishWithContext(context.Background(), "", queue, false, false, message))
	delivery, _, err := channel.Get(queue, true)
	check(err)
	if moment, ok := delivery.Headers["time"].(time.Time); ok {
		delivery.Headers["time"] = moment.UTC()
	}
	expect(delivery.Headers, headers)
	check(connection.Close())
}

func properties(url string) {
	connection, channel := open(url)
	queue := exclusiveQueue(channel)
	sent := amqp.Publishing{
		ContentType: "text/plain", ContentEncoding: "utf-8", DeliveryMode: 2, Priority: 3, CorrelationId: "c", ReplyTo: "r",
		Expiration: "60000", MessageId: "m", Timestamp: time.Unix(1_700_000_000, 0), Type: "t", UserId: "guest", AppId: "a",
		Body: []byte("body"),
	}
	check(channel.PublishWithContext(context.Background(), "", queue, false, false, sent))
	got, _, err := channel.Get(queue, true)
	check(err)
	expect(got.Timestamp.Unix(), sent.Timestamp.Unix())
	expect(amqp.Publishing{
		ContentType: got.ContentType, ContentEncoding: got.ContentEncoding, DeliveryMode: got.DeliveryMode,
		Priority: got.Priority, CorrelationId: got.CorrelationId, ReplyTo: got.ReplyTo, Expiration: got.Expiration,
		MessageId: got.MessageId, Timestamp: sent.Timestamp, Type: got.Type, UserId: got.UserId, AppId: got.AppId,
		Body: got.Body,
	}, sent)
	check(connection.Close())
}

func refusals(url string) {
	connection, channel := open(url)
	closed := channel.NotifyClose(make(chan *amqp.Error, 1))
	_, err := channel.QueueDeclarePassive("go.nowhere", true, false, false, false, nil)
	refused(err, 404, "NOT_FOUND - no queue 'go.nowhere' in vhost '/'")
	refused(next(closed), 404, "go.nowhere")
	channel = must(connection.Channel())
	closed = channel.NotifyClose(make(chan *amqp.Error, 1))
	publish(channel, "go.nowhere", "key", "lost")
	refused(next(closed), 404, "NOT_FOUND - no exchange 'go.nowhere' in vhost '/'")
	channel = must(connection.Channel())
	refused(channel.Recover(false), 540, "NOT_IMPLEMENTED")
}

func cancellation(url string) {
	connection, channel := open(url)
	queue := must(channel.QueueDeclare("", false, false, false, false, nil)).Name
	cancelled := channel.NotifyCancel(make(chan string, 1))
	deliveries := must(channel.Consume(queue, "gone", true, false, false, false, nil))
	other := must(connection.Channel())
	expect(must(other.QueueDelete(queue, false, false, false)), 0)
	expect(next(cancelled), "gone")
	if _, isOpen := <-deliveries; isOpen {
		panic("a delivery from a queue that is gone")
	}
	// The broker had the last word on that consumer, not on the channel.
	expect(drain(channel, exclusiveQueue(channel)), []string{})
	check(connection.Close())
}

func closes(url string) {
	for round := 0; round < 20; round++ {
		connection, _ := open(url)
		closed := connection.NotifyClose(make(chan *amqp.Error, 1))
		var all sync.WaitGroup
		for one := 0; one < 8; one++ {
			all.Add(1)
			go func() {
				defer all.Done()
				// Who comes after another of us may find the socket closed; what the broker says or leaves out is another thing.
				var reason *amqp.Error
				if err := connection.Close(); errors.As(err, &reason) && !errors.Is(err, amqp.ErrClosed) {
					fail("close: %v", err)
				}
			}()
		}
		all.Wait()
		if reason := <-closed; reason != nil {
			panic(fmt.Sprintf("taken for an error: %v", reason))
		}
	}
}

func login(url string) {
	_, err := amqp.Dial(strings.Replace(url, "guest:guest", "guest:wrong", 1))
	refused(err, 403, "username or password not allowed")
}
