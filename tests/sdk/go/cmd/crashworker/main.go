// crashworker is the Go half of the crash test's workers: workflow Ledger and activity record.
//
// Each execution of the activity is written to the journal, and on disk, before anything else, so that an attempt
// that was handed out twice cannot hide.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

type silent struct{}

func (silent) Debug(string, ...interface{}) {}
func (silent) Info(string, ...interface{})  {}
func (silent) Warn(string, ...interface{})  {}
func (silent) Error(string, ...interface{}) {}

type journal struct {
	file *os.File
}

type entry struct {
	Run      string `json:"run"`
	Activity string `json:"activity"`
	Attempt  int32  `json:"attempt"`
}

func (j *journal) record(ctx context.Context, number int) (string, error) {
	info := activity.GetInfo(ctx)
	line, err := json.Marshal(entry{info.WorkflowExecution.RunID, info.ActivityID, info.Attempt})
	if err != nil {
		return "", err
	}
	if _, err := j.file.Write(append(line, '\n')); err != nil {
		return "", err
	}
	if err := j.file.Sync(); err != nil {
		return "", err
	}
	activity.RecordHeartbeat(ctx, number)
	return fmt.Sprintf("%d:%d", number, info.Attempt), nil
}

func double(_ context.Context, number int) (int, error) { return 2 * number, nil }

func ledger(ctx workflow.Context, handQueue string, count int) ([]string, error) {
	var taken, kept []int
	workflow.Go(ctx, func(ctx workflow.Context) {
		for signals := workflow.GetSignalChannel(ctx, "add"); ; {
			var number int
			signals.Receive(ctx, &number)
			taken = append(taken, number)
		}
	})
	if err := workflow.SetQueryHandler(ctx, "taken", func() ([]int, error) { return append([]int{}, taken...), nil }); err != nil {
		return nil, err
	}
	if err := workflow.SetUpdateHandler(ctx, "keep", func(ctx workflow.Context, number int) (int, error) {
		kept = append(kept, number)
		place := len(kept)
		return place, workflow.Sleep(ctx, 10*time.Millisecond)
	}); err != nil {
		return nil, err
	}
	retry := &temporal.RetryPolicy{InitialInterval: 100 * time.Millisecond, BackoffCoefficient: 1}
	own := workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: 2 * time.Second, HeartbeatTimeout: 2 * time.Second, RetryPolicy: retry})
	byHand := workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 2 * time.Second, HeartbeatTimeout: 2 * time.Second, RetryPolicy: retry, TaskQueue: handQueue})
	local := workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: 2 * time.Second})
	var results []string
	for index := 0; index < count; index++ {
		if err := workflow.Await(ctx, func() bool { return len(taken) > index }); err != nil {
			return nil, err
		}
		number := taken[index]
		var result string
		var future workflow.Future
		if index%3 == 2 {
			future = workflow.ExecuteActivity(byHand, "by_hand", number)
		} else {
			future = workflow.ExecuteActivity(own, "record", number)
		}
		if err := future.Get(ctx, &result); err != nil {
			return nil, err
		}
		results = append(results, result)
		var doubled int
		if err := workflow.ExecuteLocalActivity(local, double, number).Get(ctx, &doubled); err != nil {
			return nil, err
		}
		if doubled != 2*number {
			return nil, fmt.Errorf("twice %d is not %d", number, doubled)
		}
		if index%4 == 3 {
			var told int
			if err := workflow.ExecuteChildWorkflow(ctx, "Helper", number, 1).Get(ctx, &told); err != nil {
				return nil, err
			}
			if told != number {
				return nil, fmt.Errorf("the helper of %d says %d", number, told)
			}
		}
		if index%4 == 1 {
			if err := workflow.Sleep(ctx, 200*time.Millisecond); err != nil {
				return nil, err
			}
		}
	}
	return results, workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) })
}

// helper is a child that takes a timer's time in each of its runs, so that the server may die while it runs.
func helper(ctx workflow.Context, number, more int) (int, error) {
	if err := workflow.Sleep(ctx, 50*time.Millisecond); err != nil || more == 0 {
		return number, err
	}
	return 0, workflow.NewContinueAsNewError(ctx, "Helper", number, more-1)
}

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: crashworker ADDRESS QUEUE JOURNAL")
	}
	address, queue, path := os.Args[1], os.Args[2], os.Args[3]
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		log.Fatal(err)
	}
	c, err := client.Dial(client.Options{HostPort: address, Logger: silent{}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	w := worker.New(c, queue, worker.Options{})
	j := &journal{file: file}
	w.RegisterWorkflowWithOptions(ledger, workflow.RegisterOptions{Name: "Ledger"})
	w.RegisterWorkflowWithOptions(helper, workflow.RegisterOptions{Name: "Helper"})
	w.RegisterActivityWithOptions(j.record, activity.RegisterOptions{Name: "record"})
	if err := w.Start(); err != nil {
		log.Fatal(err)
	}
	fmt.Println("ready")
	<-worker.InterruptCh()
	w.Stop()
}
