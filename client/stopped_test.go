package client_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"holdfast"
	"holdfast/client"
)

// stoppedServer is the environment variable that names the server to the
// process that will be stopped.
const stoppedServer = "HOLDFAST_TEST_STOPPED_SERVER"

// beStopped is the process that is stopped. It looks at its context in the
// first moment after it was, in which it has let no timer fire.
func beStopped() {
	runtime.GOMAXPROCS(1)
	c, err := client.New(os.Getenv(stoppedServer))
	if err != nil {
		fmt.Println(err)
		return
	}
	held, err := c.Hold(context.Background(), holdfast.Keys("x"), client.Exp(time.Second))
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := held.Context()
	last := time.Now()
	fmt.Println("holding") // it may be stopped from here on
	for {
		for range 1000 {
			at := time.Now()
			// It was stopped for at least two thirds of exp.
			if gap := at.Sub(last); gap > 500*time.Millisecond {
				if ctx.Err() != nil && errors.Is(held.Err(), client.ErrLost) {
					fmt.Println("over:", context.Cause(ctx))
				} else {
					fmt.Println("after a gap of", gap, "the context says", ctx.Err())
				}
				return
			}
			last = at
		}
		runtime.Gosched() // let the extensions go out
	}
}
