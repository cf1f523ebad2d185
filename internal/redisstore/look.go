package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"holdfast"
)

// Check says whether anybody holds one of the keys.
func (s *Store) Check(ctx context.Context, keys []string) (bool, error) {
	if err := holdfast.ValidKeys(keys); err != nil {
		return false, err
	}
	if err := s.enter(ctx); err != nil {
		return false, err
	}
	message, err := s.do(ctx, s.scripts.check, keys)
	if err != nil {
		return false, err
	}
	held, err := message.AsInt64()
	if err != nil {
		return false, s.failure(ctx, err)
	}
	return held == 1, nil
}

// Get gives the state of one key.
func (s *Store) Get(ctx context.Context, key string) (holdfast.Lock, error) {
	if err := holdfast.ValidKey(key); err != nil {
		return holdfast.Lock{}, err
	}
	if err := s.enter(ctx); err != nil {
		return holdfast.Lock{}, err
	}
	answer, err := s.run(ctx, s.scripts.get, key)
	if err != nil {
		return holdfast.Lock{}, err
	}
	lock, err := readLock(answer)
	if err != nil {
		return holdfast.Lock{}, answerError(answer)
	}
	return lock, nil
}

// List gives a page of the keys that are held or waited for.
func (s *Store) List(ctx context.Context, req holdfast.ListRequest) (holdfast.Page, error) {
	req, err := req.Normal()
	if err != nil {
		return holdfast.Page{}, err
	}
	if err := s.enter(ctx); err != nil {
		return holdfast.Page{}, err
	}
	waited := "0"
	if req.Waited {
		waited = "1"
	}
	answer, err := s.run(ctx, s.scripts.list, req.Prefix, req.UID, req.After, waited, strconv.Itoa(req.Limit))
	if err != nil {
		return holdfast.Page{}, err
	}
	if len(answer) == 0 {
		return holdfast.Page{}, answerError(answer)
	}
	var page holdfast.Page
	for _, state := range answer[1:] {
		fields, err := state.ToArray()
		if err != nil {
			return holdfast.Page{}, answerError(answer)
		}
		lock, err := readLock(fields)
		if err != nil {
			return holdfast.Page{}, answerError(answer)
		}
		page.Locks = append(page.Locks, lock)
	}
	if more, _ := answer[0].AsInt64(); more == 1 && len(page.Locks) > 0 {
		page.Next = page.Locks[len(page.Locks)-1].Key
	}
	return page, nil
}

// Count says how much there is. A hold that has run out counts until it is
// swept.
func (s *Store) Count(ctx context.Context) (holdfast.Count, error) {
	if err := s.enter(ctx); err != nil {
		return holdfast.Count{}, err
	}
	answer, err := s.run(ctx, s.scripts.count)
	if err != nil {
		return holdfast.Count{}, err
	}
	f := fields{answer}
	return holdfast.Count{Holds: int(f.number()), Waiters: int(f.number())}, nil
}

// readLock reads the state of a key as show.lua gives it.
func readLock(state []rueidis.RedisMessage) (holdfast.Lock, error) {
	if len(state) != 3 {
		return holdfast.Lock{}, fmt.Errorf("%d parts", len(state))
	}
	f := fields{state}
	lock := holdfast.Lock{Key: f.text()}
	held, line := f.list(), f.list()
	lock.Holders = make([]holdfast.Holder, 0, len(held.rest)/7)
	for len(held.rest) > 0 {
		lock.Holders = append(lock.Holders, holdfast.Holder{
			UID: held.text(), Version: uint64(held.number()), Mode: held.mode(), Limit: int(held.number()),
			Exp: held.millis(), Held: held.millis(), Note: held.text(),
		})
	}
	lock.Waiters = make([]holdfast.Waiter, 0, len(line.rest)/5)
	for len(line.rest) > 0 {
		lock.Waiters = append(lock.Waiters, holdfast.Waiter{
			UID: line.text(), Mode: line.mode(), Limit: int(line.number()), Waited: line.millis(), Note: line.text(),
		})
	}
	return lock, nil
}

// readBlockers reads what nameBlockers in rules.lua gives.
func readBlockers(answer []rueidis.RedisMessage) ([]holdfast.Blocker, error) {
	if len(answer)%7 != 0 {
		return nil, fmt.Errorf("%d fields", len(answer))
	}
	var blockers []holdfast.Blocker
	f := fields{answer}
	for len(f.rest) > 0 {
		blockers = append(blockers, holdfast.Blocker{
			Key: f.text(), UID: f.text(), Version: uint64(f.number()), Mode: f.mode(),
			Exp: f.millis(), Note: f.text(), Waiting: f.number() == 1,
		})
	}
	return blockers, nil
}

// fields takes apart a list from a script, one after the other.
type fields struct{ rest []rueidis.RedisMessage }

func (f *fields) next() *rueidis.RedisMessage {
	if len(f.rest) == 0 {
		return &rueidis.RedisMessage{}
	}
	next := &f.rest[0]
	f.rest = f.rest[1:]
	return next
}

func (f *fields) text() string {
	text, _ := f.next().ToString()
	return text
}

func (f *fields) number() int64 {
	n, _ := f.next().AsInt64()
	return n
}

func (f *fields) millis() time.Duration { return time.Duration(f.number()) * time.Millisecond }

func (f *fields) mode() holdfast.Mode {
	if f.text() == "s" {
		return holdfast.Shared
	}
	return holdfast.Exclusive
}

func (f *fields) list() *fields {
	list, _ := f.next().ToArray()
	return &fields{list}
}
