package redisstore

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"holdfast"
	"holdfast/internal/redistest"
)

// laborious gives a store without a keeper, whose scripts count how often they call
// a function.
func laborious(t *testing.T, function string) (s *Store, work func() int) {
	t.Helper()
	server := redistest.Start(t)
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{server.Addr()}, DisableCache: true, ForceSingleClient: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	s = &Store{root: roots("holdfast", 0), id: "here", options: Options{Timeout: time.Minute}, counts: newCounts()}
	s.client.Store(&client)
	s.scripts = newScripts(func(source string) string {
		return strings.Replace(source, "local function "+function+"\n", "local function "+function+"\n call('INCR', P .. 'work')\n", 1)
	})
	return s, func() int {
		n, _ := strconv.Atoi(server.Do("GETDEL", "{holdfast}:work"))
		return n
	}
}

// put locks, or stands in line.
func put(t testing.TB, s *Store, uid, want string, keys ...holdfast.Ask) {
	t.Helper()
	args := []string{uid, "60000", "", "", ""}
	if want == wordWaiting {
		args[3] = "here " + uid + " 1000000000"
	}
	for i := range keys {
		args = append(args, code(&keys[i]), keys[i].Key)
	}
	answer, err := s.ask(args)
	if got := status(answer); err != nil || got != want && (got != "" || want != wordGranted) {
		t.Fatalf("%s: %v %v", uid, answer, err)
	}
}

// A circle may be longer than what Lua takes apart at once.
func TestALongCircleIsNamed(t *testing.T) {
	const most = 4100
	s, _ := laborious(t, "none")
	name := func(i int) string { return fmt.Sprint("k", i) }
	args := []string{""}
	for i := range most {
		args = append(args, "l", fmt.Sprint("u", i), name(i), "600000", "")
		if i%manyMost == manyMost-1 || i == most-1 {
			if _, err := s.run(context.Background(), s.scripts.many, args...); err != nil {
				t.Fatal(err)
			}
			args = args[:1]
		}
	}
	wait := func(i, before int) rueidis.LuaExec {
		return rueidis.LuaExec{Keys: s.root, Args: []string{fmt.Sprint("u", i), "600000", "", fmt.Sprint("here ", i, " 1000000000"), "", "x", name(before)}}
	}
	var waits []rueidis.LuaExec
	for i := range most - 1 {
		waits = append(waits, wait(i+1, i))
	}
	waits = append(waits, wait(0, most-1))
	var answer []rueidis.RedisMessage
	for some := range slices.Chunk(waits, 100) {
		answers := s.scripts.lock.ExecMulti(t.Context(), *s.client.Load(), some...)
		var err error
		if answer, err = answers[len(some)-1].ToArray(); err != nil {
			t.Fatal(err)
		}
	}
	if status(answer) != "deadlock" || len(answer) != 1+2*most {
		t.Fatal(status(answer), len(answer))
	}
}
