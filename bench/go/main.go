// Runs one-activity workflows with the official Go SDK, client and worker in this one process.
//
//	go run . ADDRESS COUNT IN_FLIGHT RUNS
//
// For each run it prints "begin", then "done RATE P50 P95 P99" (per second, and milliseconds).
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/client"
	tlog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

const queue = "bench-go"

func Echo(ctx context.Context, text string) (string, error) {
	return text, nil
}

func OneActivity(ctx workflow.Context, text string) (string, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout:   10 * time.Second,
		DisableEagerExecution: true, // so that the task goes the whole way, as the light worker's does
	})
	var echoed string
	err := workflow.ExecuteActivity(ctx, Echo, text).Get(ctx, &echoed)
	return echoed, err
}

// load runs count workflows, inFlight at a time, and returns the latency of each.
func load(c client.Client, count, inFlight int) ([]time.Duration, error) {
	var (
		group     sync.WaitGroup
		next      atomic.Int64
		failure   atomic.Pointer[error]
		latencies = make([]time.Duration, count)
	)
	for range inFlight {
		group.Go(func() {
			for number := next.Add(1) - 1; number < int64(count); number = next.Add(1) - 1 {
				begin := time.Now()
				run, err := c.ExecuteWorkflow(context.Background(), client.StartWorkflowOptions{TaskQueue: queue}, OneActivity, "text")
				if err == nil {
					err = run.Get(context.Background(), nil)
				}
				if err != nil {
					failure.Store(&err)
					return
				}
				latencies[number] = time.Since(begin)
			}
		})
	}
	group.Wait()
	if err := failure.Load(); err != nil {
		return nil, *err
	}
	return latencies, nil
}

func measure(c client.Client, count, inFlight int) error {
	fmt.Println("begin")
	begin := time.Now()
	latencies, err := load(c, count, inFlight)
	if err != nil {
		return err
	}
	seconds := time.Since(begin).Seconds()
	slices.Sort(latencies)
	percentile := func(part float64) float64 {
		return float64(latencies[int(part*float64(count))].Microseconds()) / 1000
	}
	fmt.Printf("done %.1f %.3f %.3f %.3f\n", float64(count)/seconds, percentile(0.5), percentile(0.95), percentile(0.99))
	return nil
}

func run(address string, count, inFlight, runs int) error {
	quiet := tlog.NewStructuredLogger(slog.New(slog.NewTextHandler(io.Discard, nil)))
	c, err := client.Dial(client.Options{HostPort: address, Logger: quiet})
	if err != nil {
		return err
	}
	defer c.Close()
	w := worker.New(c, queue, worker.Options{})
	w.RegisterWorkflow(OneActivity)
	w.RegisterActivity(Echo)
	if err := w.Start(); err != nil {
		return err
	}
	defer w.Stop()
	if _, err := load(c, 10*inFlight, inFlight); err != nil { // warms up
		return err
	}
	for range runs {
		if err := measure(c, count, inFlight); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	if len(os.Args) != 5 {
		log.Fatalln("usage: go run . ADDRESS COUNT IN_FLIGHT RUNS")
	}
	var numbers [3]int
	for i, text := range os.Args[2:] {
		number, err := strconv.Atoi(text)
		if err != nil || number < 1 {
			log.Fatalln("not a number above 0:", text)
		}
		numbers[i] = number
	}
	if err := run(os.Args[1], numbers[0], numbers[1], numbers[2]); err != nil {
		log.Fatalln(err)
	}
}
