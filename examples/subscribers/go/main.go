// Keep each message in a file of its own, once.
package main

import (
	"cmp"
	"context"
	"errors"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

var messages = map[string]bool{"C2C.CallbackAfterSendMsg": true, "Group.CallbackAfterSendMsg": true}

func must(err error) {
	if err != nil && !os.IsExist(err) && !errors.Is(err, context.Canceled) {
		log.Fatal(err)
	}
}

func keep(path string, body []byte) {
	part, failed := os.CreateTemp("effects", "*.part")
	_, err := part.Write(body)
	must(errors.Join(failed, err, part.Sync(), part.Close()))
	// The name drops repeats. A map in memory is empty after a restart, and lacks what others keep.
	must(cmp.Or(os.Link(part.Name(), path), os.Remove(part.Name())))
}

func main() {
	must(os.Mkdir("effects", 0o755))
	stop, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	client, err := kgo.NewClient(kgo.SeedBrokers(cmp.Or(os.Getenv("KAFKA"), "127.0.0.1:9094")),
		kgo.ConsumerGroup(cmp.Or(os.Getenv("GROUP"), "my-team")), kgo.ConsumeTopics("tim.callbacks.v1"),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), // the default also reads aborted transactions
		kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(), kgo.SessionTimeout(10*time.Second), kgo.WithLogger(kgo.BasicLogger(os.Stderr, kgo.LogLevelWarn, nil)))
	must(err)
	defer client.CloseAllowingRebalance()
	for ; stop.Err() == nil; client.AllowRebalance() {
		fetches := client.PollRecords(stop, 500) // so few take less than the RebalanceTimeout of 60 s
		must(fetches.Err())                      // for example, the right to read the topic is missing
		fetches.EachRecord(func(record *kgo.Record) {
			headers := map[string]string{}
			for _, header := range record.Headers {
				headers[header.Key] = string(header.Value)
			}
			path := "effects/" + headers["ce_id"]
			if _, missing := os.Stat(path); missing != nil && messages[headers["ce_type"]] {
				keep(path, record.Value)
			}
		})
		_ = client.CommitUncommittedOffsets(context.Background()) // a failure is logged; the records come again
	}
}
