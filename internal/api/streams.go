package api

import (
	"context"
	"sync"
)

// streams are the connections of GET /stream, which net/http does not look
// after any more.
type streams struct {
	mu   sync.Mutex
	open map[*stream]struct{}
	none chan struct{} // closed when the last one has ended; nil while nobody waits
}

// run runs a stream.
func (all *streams) run(s *stream) {
	all.mu.Lock()
	if all.open == nil {
		all.open = map[*stream]struct{}{}
	}
	all.open[s] = struct{}{}
	all.mu.Unlock()
	defer func() {
		all.mu.Lock()
		defer all.mu.Unlock()
		delete(all.open, s)
		if len(all.open) == 0 && all.none != nil {
			close(all.none)
			all.none = nil
		}
	}()
	s.run()
}

// count is how many are open.
func (all *streams) count() int {
	all.mu.Lock()
	defer all.mu.Unlock()
	return len(all.open)
}

// wait returns when no stream is open. When ctx ends first it closes them,
// and gives the error of ctx.
func (all *streams) wait(ctx context.Context) error {
	all.mu.Lock()
	if len(all.open) == 0 {
		all.mu.Unlock()
		return nil
	}
	if all.none == nil {
		all.none = make(chan struct{})
	}
	none := all.none
	all.mu.Unlock()
	select {
	case <-none:
		return nil
	case <-ctx.Done():
	}
	all.mu.Lock()
	for s := range all.open {
		defer s.close()
	}
	all.mu.Unlock()
	return ctx.Err()
}
