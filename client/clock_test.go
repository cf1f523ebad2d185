//go:build linux || darwin

package client_test

import (
	"testing"
	"time"

	"holdfast/client"
)

func TestThereIsAClockThatGoesOnWhileTheMachineIsSuspended(t *testing.T) {
	first := client.SinceBoot()
	if first <= 0 {
		t.Fatal("it says nothing")
	}
	for end := time.Now().Add(patience); client.SinceBoot() <= first; {
		if time.Now().After(end) {
			t.Fatal("it stands still")
		}
	}
}
