package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

const queue = "hello-go"

func Greet(ctx context.Context, name string) (string, error) {
	return "Hello, " + name + "!", nil
}

func Hello(ctx workflow.Context, name string) (string, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: 10 * time.Second})
	var greeting string
	err := workflow.ExecuteActivity(ctx, Greet, name).Get(ctx, &greeting)
	return greeting, err
}

func run() error {
	// Without TEMPORAL_ADDRESS the SDK takes localhost:7233.
	c, err := client.Dial(client.Options{HostPort: os.Getenv("TEMPORAL_ADDRESS")})
	if err != nil {
		return err
	}
	defer c.Close()

	w := worker.New(c, queue, worker.Options{})
	w.RegisterWorkflow(Hello)
	w.RegisterActivity(Greet)
	if err := w.Start(); err != nil {
		return err
	}
	defer w.Stop()

	options := client.StartWorkflowOptions{ID: "hello-go", TaskQueue: queue}
	started, err := c.ExecuteWorkflow(context.Background(), options, Hello, "Go")
	if err != nil {
		return err
	}
	var greeting string
	if err := started.Get(context.Background(), &greeting); err != nil {
		return err
	}
	fmt.Println(greeting)
	return nil
}

func main() {
	if err := run(); err != nil {
		log.Fatalln(err)
	}
}
